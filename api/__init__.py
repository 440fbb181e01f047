"""The HTTP service: one folder per resource, thin routers, problems as JSON."""
