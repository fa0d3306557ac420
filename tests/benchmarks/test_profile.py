"""The reading of sampled stacks."""

from benchmarks.profile import by_library, functions_table, own_and_inclusive

FOLDED = """\
main (/x/src/streamkeep/__main__.py:3);read (/x/src/streamkeep/sse.py:7);bytes_find (Objects/bytes.c) 6
main (/x/src/streamkeep/__main__.py:4);send (/x/site-packages/uvicorn/h.py:9);uv_write (s.c);write (/lib/libc.so.6) 3
main (/x/src/streamkeep/__main__.py:4);gc_collect_main (Modules/gcmodule.c);visit (Modules/gcmodule.c) 1
work (/usr/lib/python3.11/threading.py:5);PyThread_acquire_lock_timed (libpython3.so);futex (libc.so.6) 90
"""


def test_time_goes_to_the_python_function_that_asked_for_it() -> None:
    """Native functions count to their caller, the kernel and garbage stand apart, waiting threads do not count."""
    own, inclusive, samples = own_and_inclusive(FOLDED)

    assert 10 == samples
    assert {
        "read (streamkeep/sse.py)": 6,
        "write() for send (uvicorn/h.py)": 3,
        "garbage collection": 1,
    } == own
    assert 10 == inclusive["main (streamkeep/__main__.py)"]
    assert 3 == inclusive["send (uvicorn/h.py)"]


def test_shares_become_microseconds() -> None:
    """A function with six of ten samples has 60 % of what a delta costs."""
    line = next(line for line in functions_table(FOLDED, 20.0).splitlines() if "sse.py" in line)

    assert ["60.0%", "12.00"] == [cell.strip() for cell in line.split("|")][2:4]
    assert "No samples were taken." == functions_table("", 20.0)


def test_the_shares_of_libraries_are_read_from_perf() -> None:
    """Comments are passed over and paths shortened."""
    report = "# Overhead  Shared Object\n#\n    53.93%  /usr/lib/libpython3.11.so.1.0\n    32.01%  [kernel.kallsyms]\n"

    assert [("libpython3.11.so.1.0", 0.5393), ("kernel.kallsyms", 0.3201)] == by_library(report)
