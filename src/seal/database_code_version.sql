-- src/seal/database_code_version.sql - the version of the database's code, which shows whether it is still that of the
-- last answer. See database_code.sql.
--
-- Its one row has 'v' and the version: a count and a sum over the rows of the catalogs that the answer depends on, with
-- the IDs of the transactions that wrote them. This takes a few milliseconds, or 35 for 2,000 tables. The rows cover all
-- changes: each relation and index has a row in pg_class, and each new or dropped check or name makes another one; a
-- column's default has a row of its own, as have domains with their checks; the columns of a relation count by their
-- types. Columns' types and enums' labels matter to keep_plans (statements/keep.h), too. Who is a member of which role, and
-- who bypasses row security, matters to keep_plans alone: since 16, PostgreSQL goes on with a plan that was made under other
-- policies. What is in some session's pg_temp is left out as in database_code.sql: functions that nothing uses, and all
-- relations.
WITH /* pgweir */ temporary AS (
	SELECT oid FROM pg_class WHERE relpersistence = 't'
	UNION ALL SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp_'
)
SELECT 'v', count(*) || ' ' || sum(hashint8((oid::bigint << 32) + x::text::bigint)), ''
FROM (
	SELECT oid, xmin AS x
	FROM pg_proc
	WHERE pronamespace NOT IN (SELECT oid FROM temporary) OR oid IN (SELECT refobjid FROM pg_depend WHERE refclassid = 1255)
	UNION ALL SELECT oid, xmin FROM pg_operator
	UNION ALL SELECT oid, xmin FROM pg_cast
	UNION ALL SELECT oid, xmin FROM pg_language
	UNION ALL SELECT oid, xmin FROM pg_extension
	UNION ALL SELECT oid, xmin FROM pg_event_trigger
	UNION ALL SELECT oid, hashtext(nspname)::text::xid FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
	UNION ALL SELECT oid, xmin FROM pg_policy
	UNION ALL SELECT oid, xmin FROM pg_attrdef WHERE adrelid NOT IN (SELECT oid FROM temporary)
	UNION ALL SELECT oid, xmin FROM pg_statistic_ext WHERE stxrelid NOT IN (SELECT oid FROM temporary)
	UNION ALL SELECT roleid, ((member::bigint + xmin::text::bigint) & 2147483647)::text::xid FROM pg_auth_members
	UNION ALL SELECT oid, concat(rolsuper::int, rolbypassrls::int, rolinherit::int)::xid
	FROM pg_roles
	WHERE rolsuper OR rolbypassrls OR NOT rolinherit
	UNION ALL SELECT oid, xmin FROM pg_foreign_server
	UNION ALL SELECT oid, xmin FROM pg_foreign_data_wrapper
	UNION ALL SELECT oid, xmin FROM pg_transform
	UNION ALL SELECT oid, xmin FROM pg_trigger WHERE NOT tgisinternal AND tgrelid NOT IN (SELECT oid FROM temporary)
	UNION ALL SELECT oid, xmin FROM pg_constraint WHERE (conbin IS NOT NULL OR contype = 'f') AND conrelid NOT IN (SELECT oid FROM temporary)
	UNION ALL SELECT setrole, xmin FROM pg_db_role_setting WHERE array_to_string(setconfig, ' ') ~* 'pg_temp'
	UNION ALL SELECT inhrelid, inhparent::text::xid FROM pg_inherits WHERE inhrelid NOT IN (SELECT oid FROM temporary)
	UNION ALL SELECT objid, refobjid::text::xid FROM pg_depend WHERE refclassid = 3079 AND classid IN (1255, 1259)
	UNION ALL (SELECT 1, '1' FROM pg_class WHERE relkind = 'S' AND relpersistence <> 't' LIMIT 1)
	UNION ALL SELECT *
	FROM (
		SELECT oid, xmin
		FROM pg_type
		WHERE typcategory <> 'A' AND typnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(temp|toast)')
		UNION ALL SELECT oid, hashtext(relname || relkind::text || relam || relnamespace)::text::xid
		FROM pg_class
		WHERE relkind = ANY ('{r,v,m,f,p,c,S}') AND relpersistence <> 't'
		UNION ALL SELECT attrelid, (sum(hashint8((attnum::bigint << 32) + atttypid::bigint))::bigint & 2147483647)::text::xid
		FROM pg_attribute
		WHERE attnum > 0 AND attrelid >= 16384
			AND attrelid NOT IN (SELECT oid FROM pg_class WHERE relkind = ANY ('{i,I,t,S}') OR relpersistence = 't')
		GROUP BY attrelid
		UNION ALL SELECT indexrelid, xmin
		FROM pg_index
		WHERE (indexprs IS NOT NULL OR indpred IS NOT NULL) AND indrelid NOT IN (SELECT oid FROM temporary)
		UNION ALL SELECT rngtypid, xmin FROM pg_range
		UNION ALL SELECT oid, xmin FROM pg_enum
		UNION ALL SELECT oid, xmin FROM pg_rewrite WHERE ev_class NOT IN (SELECT oid FROM temporary)
		UNION ALL SELECT oid, xmin FROM pg_opclass
		UNION ALL SELECT oid, xmin FROM pg_amop
		UNION ALL SELECT oid, xmin FROM pg_amproc
		UNION ALL SELECT oid, xmin FROM pg_ts_template
		UNION ALL SELECT oid, xmin FROM pg_ts_parser
		UNION ALL SELECT oid, xmin FROM pg_conversion
	) AS own
	WHERE oid >= 16384
) AS versions;
