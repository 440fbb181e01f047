"""See the package."""

QUICK_STEPS: dict[str, str] = {}
