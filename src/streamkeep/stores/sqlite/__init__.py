"""
Keep the logs in one SQLite file: `sqlite:///relative.db`, `sqlite:////absolute/path.db`.

    store      what a store promises, put together
    live       a stream while it is written            batch       what will be committed together
    committer  one commit after another                journal     a batch as statements; trimming
    file       lock, connections, repair, reserve      replay      from rows back to streams
    shelf      looking things up                       streams     the rows of `streams`
    seal       rows that notice damage                 schema      the layout and its versions
    lock       one writing process                     checkpoints the write-ahead log's size
    reserve    space for endings                       faults      SQLite's refusals in our words
    burial     forgetting in small pieces              early       stops that overtook their start
"""

from streamkeep.stores.sqlite.store import SqliteStore

STORE = SqliteStore

__all__ = ["STORE", "SqliteStore"]
