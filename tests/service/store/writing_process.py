"""Submits jobs and stores files as fast as it can: one of several processes that write to the same SQLite file."""

import os
import sys

from store import DatabaseBlobStore, NewJob, create_job, ensure_team, list_jobs, open_database


def main() -> None:
    """Read and write in turns."""
    database = open_database(sys.argv[1])
    blobs = DatabaseBlobStore(database)
    for number in range(int(sys.argv[2])):
        with database.write() as session:
            # reads first, writes later: the very pattern that a deferred transaction cannot survive
            team = ensure_team(session, "writers").id
            create_job(session, team, NewJob(method="movement", target_sparsity=0.5, spec={}))
        with database.read() as session:
            list_jobs(session, team, limit=5)
        blobs.write([f"{os.getpid()} {number}".encode()])
    database.close()


if __name__ == "__main__":
    main()
