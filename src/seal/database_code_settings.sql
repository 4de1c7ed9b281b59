-- src/seal/database_code_settings.sql - what the questions of database_code.h run under: all of their simple Query.
--
-- Joins are hash joins, as a new database has no statistics.
/* pgweir */ SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
/* pgweir */ SET LOCAL search_path = pg_catalog, pg_temp;
/* pgweir */ SET LOCAL statement_timeout = '3s';
/* pgweir */ SET LOCAL jit = off;
/* pgweir */ SET LOCAL work_mem = '32MB';
/* pgweir */ SET LOCAL enable_nestloop = off;
/* pgweir */ SET LOCAL enable_hashjoin = on;
/* pgweir */ SET LOCAL enable_hashagg = on;
/* pgweir */ SET LOCAL enable_mergejoin = off;
/* pgweir */ SET LOCAL enable_sort = on;
/* pgweir */ SET LOCAL enable_seqscan = on;
/* pgweir */ SET LOCAL enable_indexscan = on;
/* pgweir */ SET LOCAL enable_indexonlyscan = on;
/* pgweir */ SET LOCAL enable_bitmapscan = on;
/* pgweir */ SET LOCAL enable_material = on;
/* pgweir */ SET LOCAL max_parallel_workers_per_gather = 0;
/* pgweir */ SET LOCAL from_collapse_limit = 8;
/* pgweir */ SET LOCAL join_collapse_limit = 8;
