"""An installation that does not work."""

raise ImportError("libcudart.so.99: cannot open shared object file")
