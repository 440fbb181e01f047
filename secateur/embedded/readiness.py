"""Whether the service that was just started would run a job, and what it said last if not."""

from json import JSONDecodeError

import httpx


class Readiness:
    """Asks `/readyz` of one service."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/readyz"
        self._last = ""

    def is_yes(self) -> bool:
        """Ask once."""
        try:
            # No proxy: the service is on this machine.
            response = httpx.get(self._url, timeout=5.0, trust_env=False)
        except httpx.HTTPError as error:
            self._last = f" {self._url}: {type(error).__name__}."
            return False
        self._last = f" {self._url} answered {response.status_code}: {response.text[:500]}."
        try:
            answer: object = response.json()
        except JSONDecodeError:
            return False
        # 200 alone would mean that jobs are accepted; here somebody must be there to run them too.
        return isinstance(answer, dict) and answer.get("status") == "ready"

    def last(self) -> str:
        """The last answer, as a sentence with a space before it."""
        return self._last
