/*
 * src/pool/database_code_sql.h - the queries of database_code.h: which parts of the session state could the database's
 * own code touch? Each is one simple Query, so that SET LOCAL covers all of it; 1, 2, 4, ... are enum state_part.
 *
 *   risky      PostgreSQL's own functions that touch session state, or that run SQL from an argument
 *   c_functions  dblink's and postgres_fdw's, which close sessions on other servers
 *   read       the database's functions. Bodies of more than 64 kB, and those past 48 MB in all, are not read
 *              (is_big): these functions could do everything
 *   functions  what one pass over the bodies tells; there may be many megabytes. src is NULL where none of the words
 *              is that the other expressions look for. Of PL/pgSQL, section: its DECLARE sections, from each DECLARE to
 *              the next BEGIN, without comments and strings; raw: what follows a DECLARE, if its end is uncertain
 *   bodies     what the words of each body could do. Dynamic SQL could do everything, and so could any language but SQL
 *              and PL/pgSQL, and C outside of the extensions that are known to touch nothing.
 *   trees      stored expressions (views, rules, policies, defaults, checks, ...) that call a risky function
 *   doubtful   functions that are declared IMMUTABLE, although their result may depend on the session, the role or a
 *              table: they name such a reader, a relation, or a function of the database that is not IMMUTABLE itself
 *              (readers, words, named, odd). PostgreSQL makes constants of them when it plans
 *   lasting    calls of these that PostgreSQL computes once for as long as the backend lives: in domains' checks and
 *              indexes
 *   declared   the words of DECLARE sections that may be the database's own types, without those that have a schema;
 *              NULL: any
 *   own_types  the database's types and tables of such names, in any schema
 *   several    types whose names several schemas have, PostgreSQL's own included, if a function without a search_path
 *              of its own declares such a name
 *   ambiguous  the names of those that are not the same. Tables with the same columns are, unless columns or parameters
 *              have them as types
 *   paths      code that may change search_path, and functions whose own search_path finds other types. Dynamic SQL may
 *              not if it consists of one literal and quoted names and values. A role matters ("$user") only if one of
 *              those schemas has the name of a role
 *   widened    with dblink installed, code that could do everything could also connect
 *
 * Rows: 'c', parts, "count first-names"; 'n', a custom setting that this code names; 's', postgres_fdw's schema; 'q' if
 * the database has no sequence; 'v', the version of the code.
 *
 * DATABASE_CODE_VERSION asks for that alone: the count and a sum over the rows that the answer depends on, with the
 * transactions that wrote them. It is another one if any of these rows is. It takes a few milliseconds.
 */
/* clang-format off */
#define DATABASE_CODE_SETTINGS \
	MESSAGE_OURS "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL statement_timeout = '3s'; SET LOCAL jit = off; "
#define DATABASE_CODE_VERSION_ROW \
	"SELECT 'v', count(*) || ' ' || sum(hashint8(h))::text, '' FROM ( " \
	"SELECT (oid::bigint << 32) + xmin::text::bigint AS h FROM pg_proc " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_rewrite WHERE oid >= 16384 " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_policy " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_attrdef " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_constraint WHERE conbin IS NOT NULL " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_trigger WHERE tgqual IS NOT NULL " \
	"UNION ALL SELECT (indexrelid::bigint << 32) + xmin::text::bigint FROM pg_index WHERE indexrelid >= 16384 AND (indexprs IS NOT NULL OR indpred IS NOT NULL) " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_statistic_ext " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_operator " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_cast " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_language " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_extension " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_foreign_server " \
	"UNION ALL SELECT (oid::bigint << 32) + xmin::text::bigint FROM pg_foreign_data_wrapper " \
	"UNION ALL SELECT (setrole::bigint << 32) + xmin::text::bigint FROM pg_db_role_setting " \
	"UNION ALL SELECT (objid::bigint << 32) + refobjid::bigint FROM pg_depend WHERE refclassid = 3079 AND classid = 1255 " \
	"UNION ALL SELECT (oid::bigint << 32) + hashtext(nspname::text) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)' " \
	"UNION ALL SELECT (t.oid::bigint << 32) + t.xmin::text::bigint FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace " \
	"WHERE t.oid >= 16384 AND typcategory <> 'A' AND nspname !~ '^pg_(temp|toast)' " \
	"UNION ALL SELECT (oid::bigint << 32) + hashtext(relname || relkind::text) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'v', 'm', 'f', 'p', 'S') " \
	"AND relpersistence <> 't' " \
	"UNION ALL (SELECT 1 FROM pg_class WHERE relkind = 'S' LIMIT 1) " \
	"UNION ALL SELECT (attrelid::bigint << 32) + xmin::text::bigint + attnum FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 AND (atttypid >= 16384 OR " \
	"attrelid IN (SELECT oid FROM (SELECT oid, count(*) OVER (PARTITION BY relname) AS times FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'f', 'p', 'c') " \
	"AND relpersistence <> 't') AS c WHERE times > 1)) " \
	"UNION ALL SELECT (n.oid::bigint << 32) + r.oid::bigint FROM pg_namespace n JOIN pg_roles r ON rolname = nspname " \
	") AS versions "
#define DATABASE_CODE_VERSION DATABASE_CODE_SETTINGS DATABASE_CODE_VERSION_ROW
#define DATABASE_CODE_SQL DATABASE_CODE_SETTINGS \
	"WITH risky AS ( " \
	"SELECT oid, prosrc, CASE WHEN proname IN ('set_config', 'set_limit') THEN 1 WHEN proname ~ 'advisory' " \
	"THEN 4 " \
	"WHEN proname ~ 'val$' THEN 64 WHEN proname = 'setseed' THEN 128 WHEN proname ~ '^(pg_|isn_|dblink_)' " \
	"THEN 256 ELSE 255 END AS part " \
	"FROM pg_proc WHERE (oid < 16384 AND pronamespace = 11 OR oid >= 16384 AND prolang = 13) AND proname = " \
	"ANY " \
	"('{set_limit,isn_weak,dblink_connect,dblink_connect_u,set_config,pg_advisory_lock,pg_advisory_lock_shared, " \
	"pg_try_advisory_lock,pg_try_advisory_lock_shared,currval,lastval,setseed,pg_replication_origin_session_setup, " \
	"pg_create_physical_replication_slot,pg_create_logical_replication_slot,pg_start_backup,pg_backup_start,query_to_xml, " \
	"query_to_xmlschema,query_to_xml_and_xmlschema,cursor_to_xml,ts_stat,ts_rewrite}') " \
	"), c_functions AS ( " \
	"SELECT proname, pronamespace::regnamespace AS schema FROM pg_proc WHERE prolang = 13 AND proname IN " \
	"('dblink_get_connections', 'postgres_fdw_disconnect_all') " \
	"), calls AS ( " \
	"SELECT part, ':(func|opfunc)id (' || string_agg(oid::text, '|') || ') ' AS pattern FROM risky GROUP BY " \
	"part " \
	"UNION ALL SELECT 1, ':relid ' || 'pg_settings'::regclass::oid || ' ' " \
	"), read AS ( " \
	"SELECT p.oid, l.lanname, p.prosrc, lower(p.proname) AS name, (e.extname = ANY " \
	"('{plpgsql,adminpack,amcheck,autoinc,bloom,dblink,btree_gin,btree_gist,citext,cube,dict_int,dict_xsyn,earthdistance,file_fdw, " \
	"fuzzystrmatch,hstore,insert_username,intagg,intarray,isn,lo,ltree,moddatetime,old_snapshot,pageinspect,pg_buffercache, " \
	"pg_freespacemap,pg_prewarm,pg_stat_statements,pg_stat_kcache,pg_surgery,pg_trgm,pg_visibility,pg_walinspect,pgaudit,pgcrypto, " \
	"pgrowlocks,pgstattuple,postgis,postgis_raster,postgis_sfcgal,postgis_topology,address_standardizer,postgres_fdw,refint,rum,seg, " \
	"sslinfo,tcn,tsm_system_rows,tsm_system_time,unaccent,uuid-ossp,vector}')) IS TRUE AS is_known, " \
	"p.provolatile = 'i' AND p.prokind = 'f' AS is_constant, p.prorettype, " \
	"(SELECT substr(c, 13) FROM unnest(p.proconfig) AS c WHERE c LIKE 'search!_path=%' ESCAPE '!') AS path, " \
	"octet_length(p.prosrc) > 65536 OR sum(octet_length(p.prosrc)) OVER (ORDER BY p.oid) > 48000000 AS " \
	"is_big, " \
	"CASE WHEN l.lanname = 'sql' AND octet_length(p.prosrc) = 0 THEN to_jsonb(p)->>'prosqlbody' END AS tree " \
	"FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN (pg_depend d JOIN pg_extension e ON " \
	"d.refclassid = 3079 AND " \
	"d.refobjid = e.oid AND d.classid = 1255 AND d.deptype = 'e') ON d.objid = p.oid WHERE p.oid >= 16384 " \
	"), lowered AS ( " \
	"SELECT *, CASE WHEN lanname NOT IN ('c', 'internal') AND NOT (is_big AND lanname IN ('sql', 'plpgsql')) " \
	"THEN " \
	"lower(prosrc COLLATE \"C\") END AS src FROM read OFFSET 0 " \
	"), functions AS ( " \
	"SELECT oid, lanname, name, is_known, is_constant, prorettype, path, is_big, tree, " \
	"CASE WHEN lanname = 'internal' THEN prosrc END AS prosrc, section, raw, " \
	"is_big AND lanname IN ('sql', 'plpgsql') AND prosrc ~* " \
	"$r$dblink_connect|isn_weak|pg_replication_origin_session_setup|pg_(create|copy)_(physical|logical)_replication_slot|pg_backup_start|pg_start_backup|(^|;|>>|\\*/|--[^\\n]*|\\m(begin|then|else|loop)\\M)\\s*load\\M$r$ " \
	"AS is_lasting, " \
	"lanname = 'plpgsql' AND NOT is_known AND (is_big OR src ~ $r$'[^']*[0-9]\\s*[-/.: ]\\s*[0-9][^']*'$r$) AS " \
	"has_literal, " \
	"CASE WHEN is_constant OR lanname NOT IN ('sql', 'plpgsql') OR src ~ " \
	"$r$\\m(pg_|set_|setseed|query_to|cursor_to|ts_|u&[\"']|dblink|isn_|crosstab|connectby|xpath_table|(now|today|tomorrow|yesterday)\\s*'|(execute|create|temp|temporary|hold|prepare|deallocate|discard|listen|unlisten|currval|lastval)\\M)$r$ " \
	"OR src ~ " \
	"$r$(^|;|>>|\\*/|--[^\\n]*|\\m(begin|then|else|loop)\\M)\\s*(set|reset|discard|load)\\M|\\mdo\\M(?!\\s+(nothing|update|instead|also)\\M)$r$ " \
	"THEN src END AS src " \
	"FROM lowered LEFT JOIN LATERAL (SELECT string_agg(CASE WHEN NOT is_odd THEN bare END, ';') AS section, " \
	"string_agg(CASE WHEN is_odd THEN block " \
	"END, ' ') AS raw FROM (SELECT block, bare, cut ~ " \
	"$r$\\\\|[$][a-z_0-9]*[$]|/[*]([^*]|[*]+[^*/])*/[*]|\".*(--|/[*]|')|(--|/[*]|').*\"$r$ OR " \
	"bare ~ $r$'|[*]/|/[*]|^[^\"]*(\"[^\"]*\"[^\"]*)*\"[^\"]*$$r$ OR right(bare, 7) <> ' begin " \
	"' AS is_odd FROM (SELECT block, cut, " \
	"CASE WHEN cut ~ " \
	"$r$--|/[*]|'$r$ THEN regexp_replace(cut, $r$--[^\\n\\r]*|/[*]([^*]|[*]+[^*/])*[*]+/|'[^']*'$r$, ' ', 'g') " \
	"ELSE cut END AS bare " \
	"FROM (SELECT block, coalesce(substring(block from $r$^(.*?[;\\s])begin\\s$r$), block) || ' begin ' AS cut " \
	"FROM " \
	"unnest((string_to_array(src, 'declare'))[2:]) AS block WHERE lanname = 'plpgsql' AND NOT is_known " \
	"OFFSET 0) AS cuts OFFSET 0) AS bares OFFSET 0 " \
	") AS blocks) AS b ON strpos(src, 'declare') > 0 " \
	"), bodies AS ( " \
	"SELECT oid, src, CASE " \
	"WHEN lanname = 'internal' THEN coalesce((SELECT bit_or(part) FROM risky r WHERE r.prosrc = f.prosrc), 0) " \
	"WHEN lanname = 'c' THEN CASE WHEN is_known THEN 0 ELSE 255 END " \
	"WHEN lanname NOT IN ('sql', 'plpgsql') THEN 255 | CASE WHEN src ~ " \
	"$r$_shared|\\m[gs]d\\M|global|dblink_connect$r$ THEN 256 ELSE 0 END " \
	"WHEN is_big THEN CASE WHEN is_lasting THEN 511 ELSE 255 END " \
	"WHEN src IS NULL THEN 0 " \
	"ELSE CASE WHEN src ~ " \
	"$r$\\mexecute\\M|\\mcreate\\s+extension\\M|\\mcreate\\M.*[\\\\]|\\mdo\\M(?!\\s+(nothing|update|instead|also)\\M)|\\m(query_to_xml|cursor_to_xml|ts_stat|ts_rewrite|crosstab|connectby|xpath_table|dblink)|u&[\"']$r$ THEN 255 " \
	"ELSE CASE WHEN src ~ " \
	"$r$set_(config|limit)|update.*pg_settings|(^|;|>>|\\*/|--[^\\n]*|\\m(begin|then|else|loop)\\M)\\s*(set|reset|discard)\\M$r$ " \
	"THEN 1 ELSE 0 END " \
	"| CASE WHEN src ~ $r$\\m(temp|temporary)\\M|pg_temp$r$ THEN 2 ELSE 0 END " \
	"| CASE WHEN src ~ 'advisory_lock' THEN 4 ELSE 0 END " \
	"| CASE WHEN src ~ $r$\\mhold\\M$r$ THEN 8 ELSE 0 END " \
	"| CASE WHEN src ~ $r$\\m(prepare|deallocate|discard)\\M$r$ THEN 16 ELSE 0 END " \
	"| CASE WHEN src ~ $r$\\m(un)?listen\\M$r$ THEN 32 ELSE 0 END " \
	"| CASE WHEN src ~ $r$\\m(currval|lastval)\\M$r$ THEN 64 ELSE 0 END " \
	"| CASE WHEN src ~ $r$\\mset(seed|\\s+(session\\s+)?seed)\\M$r$ THEN 128 ELSE 0 END " \
	"END | CASE WHEN src ~ " \
	"$r$dblink_connect|isn_weak|pg_replication_origin_session_setup|pg_(create|copy)_(physical|logical)_replication_slot|pg_backup_start|pg_start_backup|(^|;|>>|\\*/|--[^\\n]*|\\m(begin|then|else|loop)\\M)\\s*load\\M$r$ " \
	"THEN 256 ELSE 0 END END AS parts " \
	"FROM functions f " \
	"), trees AS ( " \
	"SELECT 'function ' || oid::regprocedure AS what, tree FROM functions " \
	"WHERE tree IS NOT NULL " \
	"UNION ALL SELECT 'default of ' || oid::regprocedure, proargdefaults::text FROM pg_proc " \
	"WHERE oid >= 16384 AND proargdefaults IS NOT NULL " \
	"UNION ALL SELECT 'rule of ' || ev_class::regclass, concat(ev_action, ev_qual) FROM pg_rewrite " \
	"WHERE oid >= 16384 " \
	"UNION ALL SELECT 'policy of ' || polrelid::regclass, concat(polqual, polwithcheck) FROM pg_policy " \
	"UNION ALL SELECT 'default of ' || adrelid::regclass, adbin::text FROM pg_attrdef " \
	"UNION ALL SELECT 'constraint ' || conname, conbin::text FROM pg_constraint " \
	"WHERE conbin IS NOT NULL AND oid >= 16384 " \
	"UNION ALL SELECT 'trigger ' || tgname, tgqual::text FROM pg_trigger " \
	"WHERE tgqual IS NOT NULL " \
	"UNION ALL SELECT 'index ' || indexrelid::regclass, concat(indexprs, indpred) FROM pg_index " \
	"WHERE indexrelid >= 16384 AND (indexprs IS NOT NULL OR indpred IS NOT NULL) " \
	"UNION ALL SELECT 'statistics ' || stxname, to_jsonb(s)->>'stxexprs' FROM pg_statistic_ext s " \
	"UNION ALL SELECT 'type ' || oid::regtype, typdefaultbin::text FROM pg_type " \
	"WHERE typdefaultbin IS NOT NULL AND oid >= 16384 " \
	"), readers AS ( " \
	"SELECT oid, proname AS name FROM pg_proc " \
	"WHERE oid < 16384 AND pronamespace = 11 AND provolatile <> 'i' AND (pronargs = 0 OR proname LIKE ANY " \
	"('{pg\\\\_%,%privilege,%to_xml%,current%,currval,nextval,lo_get,loread,row_security%}')) AND proname NOT " \
	"LIKE ALL ('{json%,version}') " \
	"UNION ALL SELECT oid, name FROM functions " \
	"WHERE NOT is_constant AND NOT is_known AND prorettype NOT IN (2279, 3838) " \
	"), words AS ( " \
	"SELECT oid, word FROM functions, unnest(string_to_array(regexp_replace(src, " \
	"$r$[][(){},;'\".=<>+*/%|&!~^@#?:\\s-]+$r$, ' ', 'g'), ' ')) AS word " \
	"WHERE is_constant AND lanname IN ('sql', 'plpgsql') AND (word IN (SELECT name FROM readers) OR word IN " \
	"(SELECT lower(relname) FROM pg_class " \
	"WHERE oid >= 16384)) " \
	"), named AS ( " \
	"SELECT w.oid FROM words w JOIN readers r ON r.name = w.word " \
	"UNION ALL SELECT w.oid FROM words w JOIN pg_class c ON lower(c.relname) = w.word " \
	"WHERE c.oid >= 16384 AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') " \
	"), odd AS ( " \
	"SELECT name FROM readers " \
	"WHERE oid >= 16384 AND name !~ '^[a-z_][a-z0-9_$]*$' " \
	"UNION ALL SELECT lower(relname) FROM pg_class " \
	"WHERE oid >= 16384 AND relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND relname !~ " \
	"'^[a-zA-Z_][a-zA-Z0-9_$]*$' " \
	"UNION ALL SELECT o.oprname::text FROM pg_operator o JOIN readers r ON r.oid = o.oprcode " \
	"WHERE o.oid >= 16384 " \
	"), doubtful AS ( " \
	"SELECT oid FROM functions f " \
	"WHERE is_constant AND CASE WHEN lanname = 'internal' THEN EXISTS (SELECT FROM pg_proc p " \
	"WHERE p.oid < 16384 AND p.prosrc = f.prosrc AND provolatile <> 'i') WHEN lanname = 'c' THEN NOT " \
	"is_known WHEN lanname NOT IN ('sql', 'plpgsql') OR is_big THEN true ELSE src ~ " \
	"$r$\\m(execute|dblink\\w*|current_(setting|user|role|schema|schemas|query|date|time|timestamp)|session_user|system_user|localtime|localtimestamp|row_security_active|has_\\w+_privilege|\\w+_to_xml\\w*|information_schema|pg_(?!catalog\\M|typeof\\M)\\w+)\\M|\\muser\\s*($|[],;)=<>!|:]|(then|as|is|in|and|or|else|end|from)\\M)|u&[\"']$r$ OR tree ~ 'SQLVALUEFUNCTION|:rtekind " \
	"0 ' OR tree ~ (SELECT ':(func|opfunc)id (' || string_agg(oid::text, '|') || ') " \
	"' FROM readers) OR oid IN (SELECT oid FROM named) OR src LIKE ANY ((SELECT array_agg('%' || replace(name, chr(92), '_') || '%') FROM odd)::text[]) OR EXISTS (SELECT FROM pg_cast c JOIN readers r ON r.oid = c.castfunc " \
	"WHERE c.oid >= 16384) END " \
	"UNION ALL SELECT oid FROM pg_proc " \
	"WHERE oid < 16384 AND provolatile = 'i' AND proname IN ('current_setting', 'current_user', " \
	"'session_user', 'current_schema', 'current_schemas', 'now') " \
	"), lasting AS ( " \
	"SELECT ':funcid (' || string_agg(oid::text, '|') || ') [^{}]*:args (<>|[(]([{]CONST [^{}]*[}] ?)+[)])' " \
	"AS pattern FROM doubtful " \
	"), own_words AS ( " \
	"SELECT lower(t.typname COLLATE \"C\") AS word FROM pg_type t JOIN pg_namespace n ON n.oid = " \
	"t.typnamespace WHERE t.oid >= 16384 AND " \
	"t.typcategory <> 'A' AND n.nspname !~ '^pg_(temp|toast)' " \
	"), declared AS ( " \
	"SELECT DISTINCT oid, path, word FROM functions, " \
	"unnest(string_to_array(replace(replace(replace(translate(section, chr(9) || chr(10) || chr(12) || " \
	"chr(13), '    '), ' .', '.'), '. ', '.'), '.', ' .'), ';')) AS line, " \
	"unnest(string_to_array(translate(split_part(split_part(split_part( " \
	"split_part(ltrim(line), '=', 1), ' default ', 1), ' for ', 1), ' is ', 1), '%()[],\"', repeat(' ', 7)), " \
	"' ')) WITH ORDINALITY AS w(word, place) " \
	"WHERE place > 1 AND word IN (SELECT word FROM own_words) " \
	"UNION ALL SELECT oid, path, word FROM functions, unnest(string_to_array(regexp_replace(raw, " \
	"$r$[][(){},;'\".=<>+*/%|&!~^@#?:\\s-]+$r$, ' ', 'g'), ' ')) AS word " \
	"WHERE word IN (SELECT word FROM own_words) " \
	"UNION ALL SELECT oid, path, m[1] FROM functions, regexp_matches(concat_ws(';', section, raw), " \
	"'(?<![.])\"([^\"]+)\"', 'g') AS m " \
	"WHERE strpos(concat(section, raw), '\"') > 0 " \
	"UNION ALL SELECT oid, path, NULL FROM functions WHERE lanname = 'plpgsql' AND NOT is_known AND " \
	"(is_big OR strpos(concat(section, raw), 'u&\"') > 0) " \
	"), own_types AS ( " \
	"SELECT t.oid, t.typname AS name, lower(t.typname COLLATE \"C\") AS word, t.typnamespace AS schema, " \
	"t.typtype, t.typrelid, t.typarray FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace " \
	"WHERE t.oid >= 16384 AND t.typcategory <> 'A' AND n.nspname !~ '^pg_(temp|toast)' AND (lower(t.typname " \
	"COLLATE \"C\") IN (SELECT word FROM declared) OR (SELECT count(*) > 0 FROM declared " \
	"WHERE word IS NULL)) " \
	"), several AS ( " \
	"SELECT * FROM (SELECT t.oid, t.typname AS name, lower(t.typname COLLATE \"C\") AS word, t.typnamespace AS " \
	"schema, n.nspname, t.typtype, " \
	"t.typrelid, t.typarray, count(*) OVER (PARTITION BY t.typname) AS times FROM pg_type t JOIN " \
	"pg_namespace n ON n.oid = t.typnamespace " \
	"WHERE t.typcategory <> 'A' AND n.nspname !~ '^pg_(temp|toast)' AND t.typname IN (SELECT name FROM " \
	"own_types WHERE word IN " \
	"(SELECT word FROM declared WHERE path IS NULL AND word IS NOT NULL) OR " \
	"(SELECT count(*) > 0 FROM declared WHERE path IS NULL AND word IS NULL))) AS named WHERE times > 1 " \
	"), ambiguous AS ( " \
	"SELECT DISTINCT min(word) AS word FROM (SELECT name, word, CASE WHEN typtype <> 'c' OR oid IN (SELECT " \
	"atttypid FROM pg_attribute " \
	"WHERE attrelid >= 16384) OR typarray IN (SELECT atttypid FROM pg_attribute " \
	"WHERE attrelid >= 16384) OR oid IN (SELECT unnest(proargtypes) FROM pg_proc " \
	"WHERE oid >= 16384) OR typarray IN (SELECT unnest(proargtypes) FROM pg_proc " \
	"WHERE oid >= 16384) THEN oid::text ELSE (SELECT string_agg(concat_ws(' ', attname, atttypid, atttypmod, " \
	"attcollation), ',' ORDER BY attnum) FROM pg_attribute " \
	"WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped) END AS made_of FROM several) AS one " \
	"GROUP BY name HAVING count(DISTINCT made_of) > 1 " \
	"), paths AS ( " \
	"SELECT 'function ' || oid::regprocedure AS what FROM functions " \
	"WHERE (SELECT count(*) > 0 FROM ambiguous) AND NOT is_known AND CASE WHEN lanname = 'internal' THEN " \
	"prosrc LIKE 'set_config%' " \
	"WHEN lanname NOT IN ('sql', 'plpgsql') OR is_big THEN true ELSE " \
	"src ~ " \
	"$r$search_path|pg_settings|\\mset\\s+(local\\s+|session\\s+)?schema\\M|\\mreset\\M|set_config(?!\\s*[(]\\s*'[a-z0-9_.$]+'\\s*,)|('|;|\\m(begin|then|else|loop)\\M)\\s*set\\s+(local\\s+|session\\s+)?[%']|u&[\"']|_to_xml|\\mts_(stat|rewrite)|crosstab|connectby|xpath_table$r$ " \
	"OR (SELECT count(*) > 0 FROM several JOIN pg_roles ON rolname = nspname) AND " \
	"src ~ " \
	"$r$\\mset\\s+(local\\s+|session\\s+)?(role|session)\\M|set_config\\s*[(]\\s*'(role|session_authorization)'$r$ " \
	"OR tree ~ (SELECT string_agg(pattern, '|') FROM calls WHERE part & 1 <> 0) " \
	"OR regexp_replace(src, " \
	"$r$\\mexecute\\s+((function|procedure|on)\\M|(format\\s*[(]\\s*'([^'%]|''|%([0-9]+[$])?[il]|%%)*'|'([^']|'')*'(\\s*[|][|]\\s*(pg_catalog[.])?quote_(ident|literal|nullable)\\s*[(][a-z0-9_.:\\s]*[)](\\s*[|][|]\\s*'([^']|'')*')?)*)\\s*(;|,|[)]|(using|into|loop)\\M))$r$, '', 'g') ~ '\\mexecute\\M' END " \
	"UNION ALL SELECT what FROM trees, calls " \
	"WHERE (SELECT count(*) > 0 FROM ambiguous) AND part & 1 <> 0 AND tree ~ pattern AND what NOT LIKE " \
	"'function %' " \
	"UNION ALL SELECT 'settings of ' || oid::regprocedure FROM (SELECT DISTINCT ON (f.path) f.oid, f.path " \
	"FROM functions f " \
	"WHERE f.path IS NOT NULL) AS f, LATERAL (SELECT word, min(first_in) FILTER (WHERE is_own) AS own, " \
	"min(first_in) FILTER (WHERE NOT is_own) AS usual FROM (SELECT DISTINCT ON (p.is_own, a.word) p.is_own, " \
	"a.word, s.oid AS first_in FROM ambiguous a JOIN several s ON s.word = a.word JOIN pg_namespace n ON " \
	"n.oid = s.schema, (VALUES (true, f.path), (false, (SELECT reset_val FROM pg_settings " \
	"WHERE name = 'search_path'))) AS p(is_own, path), unnest(string_to_array(p.path, ',')) WITH ORDINALITY " \
	"AS e(schema, place) " \
	"WHERE n.nspname = CASE trim(BOTH ' \"' FROM e.schema) WHEN '$user' THEN current_user ELSE trim(BOTH ' \"' " \
	"FROM e.schema) END ORDER BY p.is_own, a.word, e.place) AS firsts GROUP BY word) AS r " \
	"WHERE own <> usual OR usual IS NULL AND own IS NOT NULL " \
	"), found AS ( " \
	"SELECT 'function ' || oid::regprocedure AS what, parts FROM bodies " \
	"WHERE parts <> 0 " \
	"UNION ALL SELECT 'settings of ' || oid::regprocedure, 2 FROM pg_proc " \
	"WHERE oid >= 16384 AND array_to_string(proconfig, ' ') ~* 'search_path=.*pg_temp' " \
	"UNION ALL SELECT 'settings of ' || oid::regprocedure, 128 FROM pg_proc " \
	"WHERE oid >= 16384 AND array_to_string(proconfig, ' ') ~* '(^| )seed=' " \
	"UNION ALL SELECT what, part FROM (SELECT * FROM trees WHERE tree ~ (SELECT string_agg(pattern, '|') " \
	"FROM calls) OFFSET 0) AS t, calls " \
	"WHERE tree ~ pattern " \
	"UNION ALL SELECT 'operator ' || o.oid::regoperator, part FROM pg_operator o JOIN risky r ON r.oid = " \
	"o.oprcode " \
	"WHERE o.oid >= 16384 " \
	"UNION ALL SELECT 'cast to ' || casttarget::regtype, part FROM pg_cast c JOIN risky r ON r.oid = " \
	"c.castfunc " \
	"WHERE c.oid >= 16384 " \
	"UNION ALL SELECT 'aggregate ' || aggfnoid::regprocedure, part FROM pg_aggregate a JOIN risky r ON r.oid " \
	"IN (aggtransfn, aggfinalfn, aggcombinefn, aggmtransfn, aggminvtransfn, aggmfinalfn) " \
	"WHERE aggfnoid >= 16384 " \
	"UNION ALL SELECT 'settings of roles or databases', 2 FROM pg_db_role_setting " \
	"WHERE array_to_string(setconfig, ' ') ~* 'search_path=.*pg_temp' " \
	"UNION ALL SELECT 'foreign server ' || srvname, CASE WHEN EXISTS (SELECT FROM c_functions " \
	"WHERE proname = 'postgres_fdw_disconnect_all') THEN 512 ELSE 256 END FROM pg_foreign_server s " \
	"WHERE EXISTS (SELECT FROM pg_foreign_data_wrapper w JOIN pg_proc p ON p.oid = w.fdwhandler " \
	"WHERE w.oid = s.srvfdw AND p.prosrc = 'postgres_fdw_handler') " \
	"UNION ALL SELECT 'immutable function ' || oid::regprocedure, 1024 FROM doubtful " \
	"UNION ALL SELECT 'constraint ' || conname, 256 FROM pg_constraint, lasting " \
	"WHERE contypid <> 0 AND conbin::text ~ pattern " \
	"UNION ALL SELECT 'index ' || indexrelid::regclass, 256 FROM pg_index, lasting " \
	"WHERE indexrelid >= 16384 AND concat(indexprs, indpred) ~ pattern " \
	"UNION ALL SELECT DISTINCT 'variables of ' || oid::regprocedure, 2048 FROM declared " \
	"WHERE path IS NULL AND (word IN (SELECT word FROM ambiguous) OR word IS NULL AND (SELECT count(*) > 0 " \
	"FROM ambiguous)) " \
	"UNION ALL SELECT what, 4096 FROM paths " \
	"UNION ALL SELECT DISTINCT 'variables of ' || oid::regprocedure, 8192 FROM declared " \
	"WHERE (path IS NULL OR path !~ 'pg_temp') AND (word IN (SELECT word FROM own_types) OR word IS NULL AND " \
	"(SELECT count(*) > 0 FROM own_types)) " \
	"UNION ALL SELECT 'literals of ' || oid::regprocedure, 16384 FROM functions " \
	"WHERE has_literal " \
	"UNION ALL SELECT 'text of ' || oid::regprocedure, 16384 FROM functions " \
	"WHERE is_constant AND NOT is_known AND lanname IN ('sql', 'plpgsql') AND (is_big OR tree IS NOT NULL OR " \
	"src ~ $r$to_(char|date|timestamp|number)|::\\s*(text|varchar)|\\m(cast|concat|concat_ws|format)\\M$r$) " \
	"UNION ALL SELECT 'rights of ' || oid::regprocedure, 16384 FROM pg_proc " \
	"WHERE provolatile = 'i' AND proacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(proacl) AS acl " \
	"WHERE acl.grantee = 0) " \
	"UNION ALL SELECT 'moment in ' || oid::regprocedure, 1024 FROM functions " \
	"WHERE lanname = 'plpgsql' AND NOT is_known AND (is_big OR src ~ " \
	"$r$'\\s*(now|today|tomorrow|yesterday)\\s*'$r$) " \
	"), widened AS ( " \
	"SELECT what, parts | CASE WHEN parts & 255 = 255 AND EXISTS (SELECT FROM c_functions " \
	"WHERE proname = 'dblink_get_connections') THEN 512 ELSE 0 END AS parts FROM found ) SELECT 'c', " \
	"parts::text, count(*) || ' ' || string_agg(what, ', ') FILTER (WHERE n <= 5) FROM (SELECT what, parts, " \
	"row_number() OVER (PARTITION BY parts ORDER BY what) AS n FROM widened) AS numbered GROUP BY parts " \
	"UNION ALL (SELECT DISTINCT 'n', coalesce(m[1], m[2]), '' FROM bodies, regexp_matches(src, " \
	"$r$'([a-z_][a-z0-9_$]*[.][a-z0-9_$.]+)'|\\mset\\s+(?:session\\s+)?([a-z_][a-z0-9_$]*[.][a-z0-9_$.]+)$r$, " \
	"'g') AS m " \
	"WHERE parts & 1 <> 0 LIMIT 200) " \
	"UNION ALL SELECT 's', min(schema::text), '' FROM c_functions " \
	"WHERE proname = 'postgres_fdw_disconnect_all' HAVING count(*) = 1 " \
	"UNION ALL SELECT 'q', '', '' " \
	"WHERE NOT EXISTS (SELECT FROM pg_class " \
	"WHERE relkind = 'S') UNION ALL " DATABASE_CODE_VERSION_ROW
