"""Large files in parts, over connections that break: the tus protocol."""
