-- src/seal/database_code_any.sql - could any code of the database touch session state? This query continues that of
-- database_code_signs.sql. Many databases have no functions but those of extensions in C. In a small database most of
-- the time of database_code.sql is its planning, so this is asked first, and database_code.sql only if the answer is
-- yes.
--
-- Always: the answer is yes if base in database_code.sql would have a row, except for effects of extensions that only
-- SQL, triggers, defaults and views of extensions use. Rows: 'c' if there may be such code; 'q' if there is no
-- sequence; 'e', effects; 'r', what is declared harmless.
SELECT DISTINCT 'e', CASE WHEN name ~ $r$[^\x01-\x7f]$r$ THEN chr(127) ELSE lower((name) COLLATE "C") END, CASE class WHEN 1255 THEN 'f' ELSE 'r' END
FROM effect
WHERE name <> ''
UNION ALL SELECT 'q', '', '' WHERE NOT EXISTS (SELECT FROM pg_class WHERE relkind = 'S' AND relpersistence <> 't')
UNION ALL SELECT * FROM told
UNION ALL SELECT 'c', '', ''
WHERE EXISTS (
		SELECT
		FROM pg_proc
		WHERE oid >= 16384
			AND (pronamespace NOT IN (SELECT oid FROM temporary) OR oid IN (SELECT refobjid FROM pg_depend WHERE refclassid = 1255))
			AND (
				prolang <> 13 AND prokind <> 'a' OR provolatile = 'i' AND proacl IS NOT NULL OR proconfig IS NOT NULL
					OR oid NOT IN (SELECT oid FROM member WHERE is_known) OR oid IN (SELECT oid FROM leaving)
			)
	)
	OR EXISTS (SELECT FROM pg_language WHERE oid >= 16384)
	OR EXISTS (SELECT FROM pg_operator WHERE oid >= 16384 AND oprcode < 16384)
	OR EXISTS (SELECT FROM pg_cast WHERE oid >= 16384 AND castfunc BETWEEN 1 AND 16383)
	OR EXISTS (
		SELECT
		FROM pg_aggregate
		WHERE ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggmtransfn, aggminvtransfn, aggmfinalfn]::oid[]
			&& ARRAY(SELECT oid FROM pg_proc WHERE proname = ANY (ARRAY(SELECT word::name FROM signs)))
	)
	OR EXISTS (SELECT FROM remote WHERE fdws > 0)
	OR EXISTS (SELECT FROM pg_foreign_table)
	OR EXISTS (SELECT FROM stored)
	OR EXISTS (
		SELECT
		FROM pg_depend d JOIN effect e ON refclassid = class AND refobjid = e.oid LEFT JOIN pg_rewrite r ON classid = 2618 AND r.oid = d.objid
		WHERE e.oid >= 16384 AND deptype = ANY ('{n,a,i}')
			AND (ev_class IS NULL OR ev_class NOT IN (SELECT oid FROM effect WHERE class = 1259))
			AND CASE class WHEN 1255 THEN classid <> ALL ('{1417,2328,2601,2604,2612,2620,3466}') ELSE classid IN (2618, 3256) END
	)
	OR EXISTS (SELECT FROM pg_db_role_setting WHERE array_to_string(setconfig, ' ') ~* 'pg_temp')
	OR EXISTS (
		SELECT
		FROM tree
		WHERE tree ~ (
			SELECT ':((func|opfunc)id (' || string_agg(oid::text, '|') || ')|relid ' || 'pg_settings'::regclass::oid || ') '
			FROM pg_proc
			WHERE proname = ANY (ARRAY(SELECT word::name FROM signs))
		)
	);
