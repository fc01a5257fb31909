"""The sql tool: tables for the model, and queries that attack SQLite or its host."""

from collections.abc import AsyncIterator

import pytest
from tools.quick_jail import quick_jail, refused, said

from agentgym import Limits, Sandbox, Tool, UsageError
from agentgym_tools.sql import sql_tool

MAKE = """
import sqlite3
db = sqlite3.connect('shop.db')
db.executescript('''
create table item(id integer primary key, name text, price real, data blob);
insert into item values (1, 'apple', 0.5, x'00ff'), (2, 'pear', null, zeroblob(1000));
create table number(n);
create view evil as select load_extension('/work/x.so');
''')
db.executemany('insert into number values (?)', ((n,) for n in range(1000)))
db.commit()
"""


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with quick_jail(Limits(wall_s=10, memory_mb=256)) as box:
        assert (await box.run_python(MAKE)).ok
        yield box


@pytest.fixture
def sql(box: Sandbox) -> Tool:
    return sql_tool(lambda: box, "shop.db", timeout_s=1)


@pytest.fixture
def scratch(box: Sandbox) -> Tool:
    return sql_tool(lambda: box, "/work/scratch.db", writable=True)


async def test_rows_are_an_aligned_table(sql: Tool) -> None:
    text = await said(sql, query="select id, name, price, data as d from item -- all of them")
    zeros = "00" * 50
    assert text.splitlines() == [
        "id | name  | price | d",
        "-- | ----- | ----- | " + "-" * (len(zeros) + 16),
        "1  | apple | 0.5   | x'00ff'",
        f"2  | pear  | NULL  | x'{zeros}… (1000 bytes)",
        "(2 rows)",
    ]
    assert (await said(sql, query="select 1 as one where 0")).endswith("(0 rows)")
    assert (await said(sql, query="select 1 as one")).endswith("\n1\n(1 row)")


async def test_rows_beyond_the_limit_are_counted(box: Sandbox, sql: Tool) -> None:
    text = await said(sql, query="select * from number")
    assert text.endswith("\n49\n(50 rows, 950 more rows not shown)")
    few = sql_tool(lambda: box, "shop.db", max_rows=2)
    text = await said(few, query="pragma table_info(item)")
    assert text.endswith("(2 rows, 2 more rows not shown)")


async def test_the_count_ends_with_the_time(sql: Tool) -> None:
    endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select x from c"
    text = await said(sql, query=endless)
    assert "\n(50 rows, at least " in text


async def test_long_and_strange_values_are_cut_and_escaped(sql: Tool) -> None:
    text = await said(sql, query="select replace(hex(zeroblob(500)), '00', 'x') as long")
    assert text.splitlines()[2] == "x" * 200 + "… (500 characters)"
    text = await said(
        sql, query="select 'a' || char(10, 27, 8238) || 'b' as a, cast(x'ff41' as text) as b"
    )
    assert text.splitlines()[2].split(" | ") == [r"a\n\x1b\u202eb", r"\xffA"]


async def test_a_table_too_wide_for_the_model_is_cut(sql: Tool) -> None:
    columns = ", ".join(f"n as c{n}" for n in range(1500))
    text = await said(sql, query=f"select {columns} from number")
    assert len(text) < 17_000
    assert "bytes left out" in text
    assert text.endswith("more rows not shown)")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select", "incomplete input"),
        ("select * from nope", "no such table: nope; list tables with SELECT name, sql FROM"),
        ("select 1; select 2", "one statement at a time. Send one statement in each call"),
        ("select 1; drop table item", "one statement at a time"),
        ("insert into item values (3, 'x', 1, null)", "readonly database; the database is read-o"),
        ("drop table item", "readonly"),
        ("create table x(y)", "readonly"),
        ("attach database '/work/other.db' as o", "not authorized; ATTACH, load_extension and"),
        ("vacuum into '/work/copy.db'", "denied; ATTACH, load_extension"),
        ("pragma writable_schema = on", "not authorized"),
        ("pragma query_only = off", "not authorized"),
        ("pragma temp_store_directory = '/'", "not authorized"),
        ("pragma hard_heap_limit = 0", "not authorized"),
        ("select load_extension('/work/x.so')", "not authorized"),
        ("select * from evil", "unsafe use of load_extension(); ATTACH"),
        ("select ?", "binding"),
        ("\0", ""),
    ],
)
async def test_what_is_refused(box: Sandbox, sql: Tool, query: str, says: str) -> None:
    before = await box.read_file("shop.db")
    code, text = await refused(sql, query=query)
    assert code == "sql_error"
    assert says in text
    assert await box.read_file("shop.db") == before
    assert not [entry.name for entry in await box.list_dir() if entry.name != "shop.db"]


@pytest.mark.parametrize(
    "query",
    [
        "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c",
        "select count(*) from number a, number b, number c, number d",
        "select printf('%.*c', 1000000000, 'x')",  # one call that SQLite does not interrupt
    ],
)
async def test_an_endless_query_ends_at_the_time_limit(sql: Tool, query: str) -> None:
    code, text = await refused(sql, query=query)
    assert code == "timeout"
    assert "simplify" in text
    assert "apple" in await said(sql, query="select name from item")


@pytest.mark.parametrize(
    "query",
    [
        "select zeroblob(1000000000)",
        "select length(randomblob(500000000))",
        "select replace(hex(zeroblob(8000000)), '0', '0000000000')",
    ],
)
async def test_a_huge_value_is_refused(sql: Tool, query: str) -> None:
    code, text = await refused(sql, query=query)
    assert code == "sql_error"
    assert "too big" in text


async def test_deep_nesting_is_refused(sql: Tool) -> None:
    code, _ = await refused(sql, query="select " + "(" * 5000 + "1" + ")" * 5000)
    assert code == "sql_error"


async def test_a_scratch_database_can_be_made_and_changed(box: Sandbox, scratch: Tool) -> None:
    assert await said(scratch, query="create table t(a, b)") == "Done; 0 rows changed."
    assert await said(scratch, query="insert into t values (1, 2), (3, 4)") == (
        "Done; 2 rows changed."
    )
    assert (await said(scratch, query="select sum(b) as s from t")).splitlines()[2] == "6"
    text = await said(scratch, query="insert into t values (5, 6) returning a")
    assert text.endswith("5\n(1 row)")
    assert (await said(scratch, query="select count(*) as c from t")).splitlines()[2] == "3"
    for query in ("attach 'shop.db' as s", "pragma writable_schema = on", "vacuum into 'x.db'"):
        assert (await refused(scratch, query=query))[0] == "sql_error"


async def test_a_scratch_database_cannot_outgrow_the_disk(box: Sandbox, scratch: Tool) -> None:
    await said(scratch, query="create table t(a)")
    fill = (
        "insert into t with recursive c(x) as (select 1 union all select x + 1 from c limit 200) "
        "select randomblob(1000000) from c"
    )
    code, _ = await refused(scratch, query=fill)
    assert code in ("sql_error", "timeout", "tool_failed")


@pytest.mark.parametrize(
    ("trap", "expected"),
    [
        ("", "not_found"),
        ("os.mkfifo('db')", "not_a_file"),
        ("os.mkdir('db')", "not_a_file"),
        ("os.symlink('/dev/zero', 'db')", "not_a_file"),
        ("open('db', 'wb').write(b'SQLite format 3\\0' + os.urandom(5000))", "sql_error"),
        ("open('db', 'wb').write(b'no database' * 1000)", "sql_error"),
    ],
)
async def test_a_database_that_is_none(box: Sandbox, trap: str, expected: str) -> None:
    assert (await box.run_python(f"import os\n{trap}")).ok
    code, text = await refused(sql_tool(lambda: box, "db"), query="select * from sqlite_master")
    assert code == expected, text


def test_limits_must_be_positive() -> None:
    with pytest.raises(UsageError, match="timeout_s and max_rows must be positive"):
        sql_tool(lambda: pytest.fail("not called"), "x", max_rows=0)
