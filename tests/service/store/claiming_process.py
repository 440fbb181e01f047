"""Claims jobs until none is left and prints their ids: one of several processes that race for the same queue."""

import json
import os
import sys

from store import claim_next, open_database


def main() -> None:
    """Race."""
    database = open_database(sys.argv[1])
    claimed: list[str] = []
    while True:
        with database.write() as session:
            claim = claim_next(session, "default", f"process-{os.getpid()}", lease_s=60.0)
        # On PostgreSQL a claimer that finds every waiting job locked comes away empty: the reconciler rings again.
        if claim is None:
            break
        claimed.append(claim.fence.job_id)
    database.close()
    print(json.dumps(claimed))


if __name__ == "__main__":
    main()
