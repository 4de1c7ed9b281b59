"""A table in which PostgreSQL's plan for any value is far worse than one for each: all rows but a few have one kind."""

from contextlib import contextmanager

from rawwire import bind, describe, execute, parse, sync

SQL = "SELECT count(*) FROM (SELECT id FROM skewed WHERE kind = $1 ORDER BY at LIMIT 10) s"


@contextmanager
def skewed_table(postgres):
    """The plan for any kind reads the index of the other column to its end."""
    postgres.query("""CREATE TABLE skewed (id int PRIMARY KEY, kind int, at int);
        INSERT INTO skewed SELECT g, CASE WHEN g % 100 < 95 THEN 0 ELSE g % 1000 END, -g FROM generate_series(1, 200000) g;
        CREATE INDEX ON skewed (kind); CREATE INDEX ON skewed (at); ANALYZE skewed; GRANT ALL ON skewed TO PUBLIC""")
    try:
        yield
    finally:
        postgres.query("DROP TABLE skewed")


def read_kinds(wire):
    for kind in range(96, 140):
        wire.ask(parse("", SQL) + bind("", "", [kind]) + describe("P") + execute() + sync())
