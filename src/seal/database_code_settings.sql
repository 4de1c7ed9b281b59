-- src/seal/database_code_settings.sql - the settings for the questions of database_code.h. They hold for the rest of
-- the question's simple Query.
--
-- Joins are hash joins, because a new database has no statistics.
SET /* pgweir */ TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET /* pgweir */ LOCAL search_path = pg_catalog, pg_temp;
SET /* pgweir */ LOCAL statement_timeout = '3s';
SET /* pgweir */ LOCAL jit = off;
SET /* pgweir */ LOCAL work_mem = '32MB';
SET /* pgweir */ LOCAL enable_nestloop = off;
SET /* pgweir */ LOCAL enable_hashjoin = on;
SET /* pgweir */ LOCAL enable_hashagg = on;
SET /* pgweir */ LOCAL enable_mergejoin = off;
SET /* pgweir */ LOCAL enable_sort = on;
SET /* pgweir */ LOCAL enable_seqscan = on;
SET /* pgweir */ LOCAL enable_indexscan = on;
SET /* pgweir */ LOCAL enable_indexonlyscan = on;
SET /* pgweir */ LOCAL enable_bitmapscan = on;
SET /* pgweir */ LOCAL enable_material = on;
SET /* pgweir */ LOCAL max_parallel_workers_per_gather = 0;
SET /* pgweir */ LOCAL from_collapse_limit = 8;
SET /* pgweir */ LOCAL join_collapse_limit = 8;
