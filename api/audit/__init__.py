"""The audit log over HTTP: written for every call that could change something, read by administrators."""
