"""What is remembered: syncs, releases, services, workers, events.

The journal is the only thing that is durable and cannot be rebuilt. Refuses to start empty over a file it
cannot read, and to hold a secret or anything that git or the disk can tell again.
"""
