-- src/seal/database_code_signs.sql - the beginning of both full questions (database_code.sql, database_code_any.sql),
-- after the output of extensions.awk: signs of risk, what has effects, and stored expressions.
--
-- - signs: words that are alarming anywhere in a body, comments and strings included (relations of extensions.tsv,
--   too), and PostgreSQL's own functions that touch state, or run text or something that a string names: each stem with
--   each ending. CREATE is no sign if TEMP TABLE follows it each time: such statements make no code, and what else they
--   touch shows by TEMP and by the names in them.
-- - temporary: the schemas of pg_temp. No other session finds anything in there by a name: names of functions and
--   operators are never looked up there, and only a superuser can use another session's schema by its own name
--   (risk_names.c). But views, casts, tables, ... that anybody can use may use it.
-- - member: functions of extensions. Known ones touch nothing but what extensions.tsv says (leaving), and what bodies
--   in SQL and PL/pgSQL touch.
-- - harmless: what the setting harmless_code declares, with names in hexadecimal; database_code_begin_question() puts its
--   rows in place of this one. thing: the same, with the objects of that name. declared: the functions that therefore keep
--   nothing in the backend. told: a row of the answer for each thing.
-- - tree: stored expressions. pg_depend does not record that they call PostgreSQL's own functions.
-- - effect: what may do more than read (RISK_EFFECTS): functions that are VOLATILE, run text, or tell of the session or
--   transaction that they run in; foreign tables; views of extensions. PostgreSQL's own views only read. Functions that
--   only return another value each time are left out, and so are handlers and triggers, which can't be called. What is
--   in some session's pg_temp has no name here.
-- - stored: what uses an effect of PostgreSQL's own where pg_depend does not show it, or locks rows (a view FOR
--   UPDATE).
--
-- Both questions have a row 'e', name, kind for each effect.
member(oid, extname, is_known) AS (
	SELECT objid, extname, prolang < 16384 AND extname = ANY ((SELECT names FROM known)::name[])
	FROM pg_depend d JOIN pg_extension e ON d.refclassid = 3079 AND d.refobjid = e.oid AND d.classid = 1255 AND d.deptype = 'e'
		JOIN pg_proc p ON p.oid = objid
),
leaving AS (
	SELECT oid, proname, m.extname, prosrc, prolang, prorettype, parts
	FROM member m JOIN pg_proc USING (oid) JOIN leaves l ON l.extname = m.extname AND (proname = ANY (functions) OR prosrc = ANY (functions) OR functions = '{*}' AND prolang = 13)
),
remote AS (
	SELECT CASE WHEN dblinks + servers > 0 THEN 2815 ELSE 2303 END AS anything, dblinks, fdw_schema, fdws, is_bytes
	FROM (SELECT count(*) FROM leaving WHERE parts & 512 <> 0 AND prorettype <> 3115) AS d(dblinks),
		(SELECT count(*) FROM pg_foreign_server) AS s(servers),
		(
			SELECT min(pronamespace::regnamespace::text), count(*) FROM pg_proc WHERE prolang = 13 AND proname = 'postgres_fdw_disconnect_all'
		) AS f(fdw_schema, fdws),
		(SELECT pg_encoding_max_length(encoding) = 1 FROM pg_database WHERE datname = current_database()) AS e(is_bytes)
),
signs AS (
	SELECT (stem || ending) COLLATE "C" AS word, coalesce(parts, anything) AS parts
	FROM remote,
		(
			VALUES
				('{execute,create,discard,truncate,analyze,analyse,satisfies_hash_partition,ts_stat,ts_rewrite,pg_input_is_valid,pg_input_error_info,
					gin_clean_pending_list}', NULL, NULL),
				('{query,cursor,table,schema,database}', '_to_xml,_to_xmlschema,_to_xml_and_xmlschema', NULL),
				('{domain,array,record,range,multirange}', '_in,_recv', NULL),
				('{brin_summarize_}', 'range,new_values', NULL),
				('{alter,import}', NULL, 2048),
				('{pg_start_backup,pg_backup_start,pg_replication_origin_session_setup}', NULL, 256),
				('{pg_create_,pg_copy_}', 'physical_replication_slot,logical_replication_slot', 256),
				('{pg_advisory_,pg_try_advisory_}', 'lock,lock_shared,unlock,unlock_shared,unlock_all', 4),
				('{set_config,reset,pg_settings}', NULL, 1),
				('{temp,temporary,pg_temp}', NULL, 2),
				('{hold}', NULL, 8),
				('{prepare,deallocate}', NULL, 16),
				('{listen,unlisten}', NULL, 32),
				('{currval,lastval}', NULL, 64),
				('{setseed,random,random_normal}', NULL, 128)
		) AS v(stems, endings, parts),
		unnest(stems::text[]) AS stem, unnest(coalesce(string_to_array(endings, ','), '{""}')) AS ending
	UNION ALL SELECT unnest(functions), parts FROM leaves JOIN pg_extension USING (extname) WHERE parts = 32768
),
temporary AS (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp_'),
harmless(kind, name, member) AS (VALUES ('', '', '')),
thing(kind, name, member, oid) AS (
	SELECT *
	FROM harmless
		LEFT JOIN (
			SELECT kind, encode(convert_to(name, getdatabaseencoding()), 'hex'), encode(convert_to(member, getdatabaseencoding()), 'hex'), oid
			FROM (
				SELECT 'extension', extname, '', oid FROM pg_extension
				UNION ALL SELECT 'language', lanname, '', oid FROM pg_language
				UNION ALL SELECT 'schema', nspname, '', oid FROM pg_namespace
				UNION ALL SELECT 'function', nspname, proname, p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE p.oid >= 16384
			) AS o(kind, name, member, oid)
			WHERE kind IN (SELECT kind FROM harmless)
		) AS o(kind, name, member, oid) USING (kind, name, member)
),
declared(oid) AS (
	SELECT p.oid
	FROM thing t
		JOIN pg_proc p ON t.oid = CASE kind WHEN 'function' THEN p.oid WHEN 'language' THEN prolang WHEN 'schema' THEN pronamespace END
	UNION SELECT objid FROM pg_depend JOIN thing ON refobjid = oid WHERE kind = 'extension' AND refclassid = 3079 AND classid = 1255 AND deptype = 'e'
	UNION SELECT unnest(ARRAY[lanplcallfoid, laninline, lanvalidator]) FROM pg_language JOIN thing USING (oid) WHERE kind = 'language'
),
told(k, name, value) AS (
	SELECT 'r', concat(kind, ' ', encode(decode(name, 'hex'), 'escape'), '.' || encode(decode(nullif(member, ''), 'hex'), 'escape')),
		'd 4096 0 ' || CASE WHEN count(oid) > 0 THEN 'harmless_code' ELSE 'harmless_code; it is not there' END
	FROM thing
	WHERE kind <> ''
	GROUP BY kind, name, member
),
tree(class, oid, w, tree) AS (
	SELECT *
	FROM (
		SELECT 1259::oid, ev_class, ev_type <> '1', concat(ev_action, ev_qual) FROM pg_rewrite
		UNION ALL SELECT 1259, polrelid, false, concat(polqual, polwithcheck) FROM pg_policy
		UNION ALL SELECT 1259, adrelid, true, adbin::text FROM pg_attrdef
		UNION ALL SELECT 1259, conrelid, true, conbin::text FROM pg_constraint
		UNION ALL SELECT 1247, contypid, false, conbin::text FROM pg_constraint
		UNION ALL SELECT 1259, tgrelid, true, tgqual::text FROM pg_trigger
		UNION ALL SELECT 1247, oid, false, typdefaultbin::text FROM pg_type
		UNION ALL SELECT 1259, stxrelid, false, to_jsonb(s)->>'stxexprs' FROM pg_statistic_ext s
		UNION ALL SELECT 1255, oid, false, concat(proargdefaults::text, CASE WHEN prosrc = '' THEN to_jsonb(p)->>'prosqlbody' END) FROM pg_proc p
	) AS t(class, oid, w, tree)
	WHERE oid >= 16384 AND tree <> ''
),
effect(class, oid, name) AS (
	SELECT 1255::oid, oid, CASE WHEN pronamespace NOT IN (SELECT oid FROM temporary) THEN proname END
	FROM pg_proc
	WHERE prorettype <> ALL ('{269,325,2279,2280,3115,3310,3838}')
		AND (
			provolatile = 'v'
				OR oid < 16384 AND (
					proname = ANY ('{pg_backend_pid,pg_current_xact_id,txid_current}')
						OR proname IN (SELECT word::name FROM signs WHERE parts & 255 = 255)
				)
		)
		AND (
			proname <> ALL (
				'{clock_timestamp,timeofday,random,random_normal,gen_random_uuid,gen_random_bytes,uuidv4,uuidv7,uuid_generate_v1,uuid_generate_v1mc,
					uuid_generate_v4}'
			)
				OR oid >= 16384 AND oid NOT IN (SELECT oid FROM member WHERE is_known)
		)
	UNION ALL SELECT 1259, oid, relname
	FROM pg_class
	WHERE relkind = 'f' AND relpersistence <> 't'
		OR relkind = 'v' AND oid IN (SELECT objid FROM pg_depend WHERE classid = 1259 AND refclassid = 3079 AND deptype = 'e')
),
stored(class, oid) AS (
	SELECT class, oid
	FROM tree
	WHERE NOT w AND tree ~ (SELECT concat('[{]ROWMARKCLAUSE |:(func|opfunc)id (', string_agg(oid::text, '|'), ') ') FROM effect WHERE oid < 16384)
	UNION ALL SELECT u.class, u.oid
	FROM (
		SELECT 2617::oid, oid, oprcode::oid FROM pg_operator
		UNION ALL SELECT 2605, oid, castfunc FROM pg_cast
		UNION ALL SELECT 1255, aggfnoid, unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggmtransfn, aggminvtransfn, aggmfinalfn]::oid[])
		FROM pg_aggregate
	) AS u(class, oid, function)
		JOIN effect e ON e.oid = function
	WHERE u.oid >= 16384 AND e.oid < 16384
)
