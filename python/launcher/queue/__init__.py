"""Queue worker on Redis Streams: at least once, one result per job.

A job is an entry of a stream; the consumer group has the stream's name. A worker renews its claim while a job runs;
claims that are not renewed go to another worker. What a job has come to is written by scripts that compare a token
first, so a worker that was presumed dead cannot overwrite the result of its successor.
"""

from .worker import start_workers

__all__ = ["start_workers"]
