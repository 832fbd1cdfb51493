"""Where a person's name is still to be read: in any table, and in any key of Redis."""

from __future__ import annotations

from typing import Any

from django.db import connection

from ratelimit.store import client as redis_client

MARK = "zyxwina"
"""In every text that could name her."""


def tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        return [name for (name,) in cursor.fetchall()]


def told_of(mark: str) -> list[str]:
    """The tables and the keys of Redis in which the text stands: as text, in bytes, or in a name."""
    found = []
    with connection.cursor() as cursor:
        for table in tables():
            # As a whole row is written out: bytes are in hexadecimal digits there.
            cursor.execute(
                f"SELECT count(*) FROM {table} AS of WHERE of::text ILIKE %s OR of::text ILIKE %s",
                [f"%{mark}%", f"%{mark.encode().hex()}%"],
            )
            if cursor.fetchone()[0]:
                found.append(table)
    redis: Any = redis_client()
    for key in redis.scan_iter():
        read = {
            b"string": redis.get,
            b"hash": redis.hgetall,
            b"list": lambda key: redis.lrange(key, 0, -1),
            b"set": redis.smembers,
            b"zset": lambda key: redis.zrange(key, 0, -1),
            b"stream": redis.xrange,
        }[redis.type(key)]
        if mark in repr((key, read(key))).casefold():
            found.append(key.decode())
    return found
