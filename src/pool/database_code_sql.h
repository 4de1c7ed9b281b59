/*
 * src/pool/database_code_sql.h - the query of database_code.h: which parts of the session state could the database's
 * own code touch? It is one simple Query, so that SET LOCAL covers all of it; 1, 2, 4, ... are enum state_part.
 *
 *   risky      PostgreSQL's own functions that touch session state, or that run SQL from an argument
 *   functions  the database's functions, with their bodies; long bodies are not read
 *   bodies     what the words of each body could do. Dynamic SQL could do everything, and so could any language but SQL
 *              and PL/pgSQL, and C outside of the extensions that are known to touch nothing.
 *   c_functions  dblink's and postgres_fdw's, which close sessions on other servers
 *   trees      stored expressions (views, rules, policies, defaults, checks, ...) that call a risky function
 *   doubtful   functions that are declared IMMUTABLE, although their result may depend on the session, the role or a
 *              table: they name such a reader, a relation, or a function of the database that is not IMMUTABLE itself
 *              (readers, words, named, odd). PostgreSQL makes constants of them when it plans
 *   blocks     the DECLARE sections of PL/pgSQL functions: from each DECLARE to the next BEGIN, comments and strings
 *              removed; more than that where dollar quotes make this uncertain. No regular expressions where none is
 *              needed: there may be thousands
 *   declared   the words of these that may be types, without those that have a schema; NULL: any
 *   own_types  the database's types and tables of such names, in any schema
 *   ambiguous  names that several schemas have, and not for the same. Tables with the same columns are the same, unless
 *              columns or parameters have them as types
 *   paths      code that may change search_path, and functions whose own search_path finds other types
 *   lasting    calls of these that PostgreSQL computes once for as long as the backend lives: in domains' checks,
 * indexes widened    with dblink installed, code that could do everything could also connect
 *
 * Rows: 'c', parts, "count first-names"; 'n', a custom setting that this code names; 's', postgres_fdw's schema; and
 * 'q' if the database has no sequence.
 */
/* clang-format off */
#define DATABASE_CODE_SQL \
	"SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL statement_timeout = '1500ms'; SET LOCAL jit = off; " \
	"WITH risky AS ( " \
	" SELECT oid, prosrc, CASE WHEN proname IN ('set_config', 'set_limit') THEN 1 WHEN proname ~ 'advisory' " \
	"THEN 4 " \
	"  WHEN proname ~ 'val$' THEN 64 WHEN proname = 'setseed' THEN 128 WHEN proname ~ '^(pg_|isn_|dblink_)' " \
	"THEN 256 ELSE 255 END AS part " \
	" FROM pg_proc WHERE (oid < 16384 AND pronamespace = 11 OR oid >= 16384 AND prolang = 13) AND proname = " \
	"ANY ('{set_limit,isn_weak,dblink_connect,dblink_connect_u,set_config,pg_advisory_lock," \
	"pg_advisory_lock_shared,pg_try_advisory_lock,pg_try_advisory_lock_shared,currval,lastval,setseed," \
	"pg_replication_origin_session_setup,pg_create_physical_replication_slot," \
	"pg_create_logical_replication_slot,pg_start_backup,pg_backup_start,query_to_xml,query_to_xmlschema," \
	"query_to_xml_and_xmlschema,cursor_to_xml,ts_stat,ts_rewrite}') " \
	"), c_functions AS ( " \
	" SELECT proname, pronamespace::regnamespace AS schema FROM pg_proc WHERE prolang = 13 AND proname IN " \
	"('dblink_get_connections', 'postgres_fdw_disconnect_all') " \
	"), calls AS ( " \
	" SELECT part, ':(func|opfunc)id (' || string_agg(oid::text, '|') || ') ' AS pattern FROM risky GROUP BY " \
	"part " \
	" UNION ALL SELECT 1, ':relid ' || 'pg_settings'::regclass::oid || ' ' " \
	"), all_functions AS ( " \
	" SELECT p.oid, l.lanname, p.prosrc, lower(left(p.prosrc, 65536) COLLATE \"C\") AS src, " \
	"  CASE WHEN l.lanname = 'sql' THEN to_jsonb(p)->>'prosqlbody' END AS tree, " \
	"  (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 1255 " \
	"AND d.objid = p.oid AND d.deptype = 'e') AS extension, " \
	"  lower(p.proname) AS name, p.provolatile = 'i' AND p.prokind = 'f' AS is_constant, p.prorettype, " \
	"  (SELECT substr(c, 13) FROM unnest(p.proconfig) AS c WHERE c LIKE 'search!_path=%' ESCAPE '!') AS path, " \
	"  sum(pg_column_size(p.prosrc)) OVER (ORDER BY p.oid) > 4000000 OR octet_length(p.prosrc) > 65536 AS " \
	"is_big " \
	" FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384 " \
	"), functions AS ( " \
	" SELECT *, (extension = ANY ('{plpgsql,adminpack,amcheck,autoinc,bloom,dblink,btree_gin,btree_gist,citext," \
	"cube,dict_int,dict_xsyn,earthdistance,file_fdw,fuzzystrmatch,hstore,insert_username,intagg,intarray,isn," \
	"lo,ltree,moddatetime,old_snapshot,pageinspect,pg_buffercache,pg_freespacemap,pg_prewarm," \
	"pg_stat_statements,pg_stat_kcache,pg_surgery,pg_trgm,pg_visibility,pg_walinspect,pgaudit," \
	"pgcrypto,pgrowlocks,pgstattuple,postgis,postgis_raster,postgis_sfcgal,postgis_topology," \
	"address_standardizer,postgres_fdw,refint,rum,seg,sslinfo,tcn,tsm_system_rows," \
	"tsm_system_time,unaccent,uuid-ossp,vector}')) IS TRUE AS is_known FROM all_functions " \
	"), bodies AS ( " \
	" SELECT oid, src, CASE " \
	"  WHEN lanname = 'internal' THEN coalesce((SELECT bit_or(part) FROM risky r WHERE r.prosrc = f.prosrc), " \
	"0) " \
	"  WHEN lanname = 'c' THEN CASE WHEN is_known THEN 0 ELSE 255 END " \
	"  WHEN lanname NOT IN ('sql', 'plpgsql') THEN 255 | CASE WHEN src ~ " \
	"$r$_shared|\\m[gs]d\\M|global|dblink_connect$r$ THEN 256 ELSE 0 END " \
	"  WHEN is_big OR src ~ $r$\\mexecute\\M|\\mcreate\\s+extension\\M|\\mcreate\\M.*[\\\\]|\\mdo\\M(?!\\s+(nothing|update|instead|also)\\M)|\\m(query_to_xml|curso" \
	"r_to_xml|ts_stat|ts_rewrite|crosstab|connectby|xpath_table|dblink)|u&[\"']$r$ THEN 255 " \
	"  ELSE CASE WHEN src ~ $r$set_(config|limit)|update.*pg_settings|(^|;|>>|\\*/|--[^\\n]*|\\m(begin|then|else" \
	"|loop)\\M)\\s*(set|reset|discard)\\M$r$ THEN 1 ELSE 0 END " \
	"   | CASE WHEN src ~ $r$\\m(temp|temporary)\\M|pg_temp$r$ THEN 2 ELSE 0 END " \
	"   | CASE WHEN src ~ 'advisory_lock' THEN 4 ELSE 0 END " \
	"   | CASE WHEN src ~ $r$\\mhold\\M$r$ THEN 8 ELSE 0 END " \
	"   | CASE WHEN src ~ $r$\\m(prepare|deallocate|discard)\\M$r$ THEN 16 ELSE 0 END " \
	"   | CASE WHEN src ~ $r$\\m(un)?listen\\M$r$ THEN 32 ELSE 0 END " \
	"   | CASE WHEN src ~ $r$\\m(currval|lastval)\\M$r$ THEN 64 ELSE 0 END " \
	"   | CASE WHEN src ~ $r$\\mset(seed|\\s+(session\\s+)?seed)\\M$r$ THEN 128 ELSE 0 END " \
	"  END | CASE WHEN src ~ $r$dblink_connect|isn_weak|pg_replication_origin_session_setup|pg_(create|copy)_" \
	"(physical|logical)_replication_slot|pg_backup_start|pg_start_backup|(^|;|>>|\\*/|--[^\\n]*|\\m(begin|then|e" \
	"lse|loop)\\M)\\s*load\\M$r$ AND lanname IN ('sql','plpgsql') THEN 256 ELSE 0 END AS parts " \
	" FROM functions f " \
	"), trees AS ( " \
	" SELECT 'function ' || oid::regprocedure AS what, tree FROM functions WHERE tree IS NOT NULL " \
	" UNION ALL SELECT 'default of ' || oid::regprocedure, proargdefaults::text FROM pg_proc WHERE oid >= " \
	"16384 AND proargdefaults IS NOT NULL " \
	" UNION ALL SELECT 'rule of ' || ev_class::regclass, concat(ev_action, ev_qual) FROM pg_rewrite WHERE " \
	"oid >= 16384 " \
	" UNION ALL SELECT 'policy of ' || polrelid::regclass, concat(polqual, polwithcheck) FROM pg_policy " \
	" UNION ALL SELECT 'default of ' || adrelid::regclass, adbin::text FROM pg_attrdef " \
	" UNION ALL SELECT 'constraint ' || conname, conbin::text FROM pg_constraint WHERE conbin IS NOT NULL " \
	"AND oid >= 16384 " \
	" UNION ALL SELECT 'trigger ' || tgname, tgqual::text FROM pg_trigger WHERE tgqual IS NOT NULL " \
	" UNION ALL SELECT 'index ' || indexrelid::regclass, concat(indexprs, indpred) FROM pg_index WHERE " \
	"indexrelid >= 16384 AND (indexprs IS NOT NULL OR indpred IS NOT NULL) " \
	" UNION ALL SELECT 'statistics ' || stxname, to_jsonb(s)->>'stxexprs' FROM pg_statistic_ext s " \
	" UNION ALL SELECT 'type ' || oid::regtype, typdefaultbin::text FROM pg_type WHERE typdefaultbin IS NOT " \
	"NULL AND oid >= 16384 " \
	"), readers AS ( " \
	" SELECT oid, proname AS name FROM pg_proc WHERE oid < 16384 AND pronamespace = 11 AND " \
	"provolatile <> 'i' AND (pronargs = 0 OR proname LIKE ANY ('{pg\\\\_%,%privilege,%to_xml%,current%,currval,nextval," \
	"lo_get,loread,row_security%}')) AND proname NOT LIKE ALL ('{json%,version}') " \
	" UNION ALL SELECT oid, name FROM functions WHERE NOT is_constant AND NOT is_known AND prorettype NOT IN " \
	"(2279, 3838) " \
	"), words AS ( " \
	" SELECT DISTINCT oid, word FROM functions, unnest(string_to_array(translate(src, $r$[](){},;'\".=<>+*/%|&!~^@#?:-$r$ " \
	"|| chr(9) || chr(10) || chr(11) || chr(12) || chr(13), repeat(' ', 40)), ' ')) AS word " \
	" WHERE is_constant AND lanname IN ('sql', 'plpgsql') AND NOT is_big " \
	"), named AS ( " \
	" SELECT w.oid FROM words w JOIN readers r ON r.name = w.word " \
	" UNION ALL SELECT w.oid FROM words w JOIN pg_class c ON lower(c.relname) = w.word WHERE c.oid >= 16384 AND " \
	"c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') " \
	"), odd AS ( " \
	" SELECT name FROM readers WHERE oid >= 16384 AND name !~ '^[a-z_][a-z0-9_$]*$' " \
	" UNION ALL SELECT o.oprname::text FROM pg_operator o JOIN readers r ON r.oid = o.oprcode WHERE o.oid >= 16384 " \
	"), doubtful AS ( " \
	" SELECT oid FROM functions f WHERE is_constant AND CASE " \
	"  WHEN lanname = 'internal' THEN EXISTS (SELECT FROM pg_proc p WHERE p.oid < 16384 AND p.prosrc = f.prosrc AND " \
	"provolatile <> 'i') " \
	"  WHEN lanname = 'c' THEN NOT is_known " \
	"  WHEN lanname NOT IN ('sql', 'plpgsql') OR is_big THEN true " \
	"  ELSE src ~ $r$\\m(execute|dblink\\w*|current_(setting|user|role|schema|schemas|query|date|time|timestamp)|session_user|" \
	"system_user|localtime|localtimestamp|row_security_active|has_\\w+_privilege|\\w+_to_xml\\w*|information_schema|" \
	"pg_(?!catalog\\M|typeof\\M)\\w+)\\M|\\muser\\s*($|[],;)=<>!|:]|(then|as|is|in|and|or|else|end|from)\\M)|u&[\"']$r$ " \
	"   OR tree ~ 'SQLVALUEFUNCTION|:rtekind 0 ' " \
	"   OR tree ~ (SELECT ':(func|opfunc)id (' || string_agg(oid::text, '|') || ') ' FROM readers) " \
	"   OR oid IN (SELECT oid FROM named) OR src LIKE ANY ((SELECT array_agg('%' || replace(name, chr(92), '_') || '%') FROM " \
	"odd)::text[]) " \
	"   OR EXISTS (SELECT FROM pg_cast c JOIN readers r ON r.oid = c.castfunc WHERE c.oid >= 16384) END " \
	" UNION ALL SELECT oid FROM pg_proc WHERE oid < 16384 AND provolatile = 'i' AND proname IN ('current_setting', " \
	"'current_user', 'session_user', 'current_schema', 'current_schemas', 'now') " \
	"), lasting AS ( " \
	" SELECT ':funcid (' || string_agg(oid::text, '|') || ') [^{}]*:args (<>|[(]([{]CONST [^{}]*[}] ?)+[)])' AS " \
	"pattern FROM doubtful " \
	"), blocks AS ( " \
	" SELECT oid, path, is_big, CASE WHEN cut !~ $r$--|/[*]|'$r$ THEN cut WHEN block ~ '[$][a-z_0-9]*[$]' THEN block ELSE " \
	" split_part(translate(regexp_replace(block, $r$--[^\\n]*|/[*]([^*]|[*]+[^*/])*[*]+/|'[^']*'$r$, ' ', 'g'), spaces, ';    '), " \
	" ' begin ', 1) END AS src FROM (SELECT oid, path, is_big, block, spaces, split_part(translate(block, spaces, ';    '), " \
	" ' begin ', 1) AS cut FROM (VALUES (';' || chr(9) || chr(10) || chr(12) || chr(13))) AS s(spaces), functions, " \
	" unnest((string_to_array(replace(src, ';', '; '), 'declare'))[2:]) AS block WHERE lanname = 'plpgsql' AND NOT is_known " \
	" AND NOT is_big AND src LIKE '%declare%') AS cuts " \
	"), declared AS ( " \
	" SELECT DISTINCT oid, path, word FROM blocks, unnest(string_to_array(src, ';')) AS line, unnest(string_to_array(translate( " \
	" replace(replace(replace(split_part(split_part(split_part(split_part(ltrim(line), '=', 1), ' default ', 1), ' for ', 1), ' is ', 1), " \
	" ' .', '.'), '. ', '.'), '.', ' .'), '%()[],\"', repeat(' ', 7)), ' ')) WITH ORDINALITY AS w(word, place) WHERE place > 1 AND word <> '' " \
	" AND word !~ '^[.]' " \
	" UNION ALL SELECT oid, path, m[1] FROM blocks, regexp_matches(src, '(?<![.])\"([^\"]+)\"', 'g') AS m WHERE src LIKE '%\"%' " \
	" UNION ALL SELECT oid, path, NULL FROM functions WHERE lanname = 'plpgsql' AND NOT is_known AND " \
	" (is_big OR src LIKE '%declare%' AND src LIKE '%u&\"%') " \
	"), own_types AS ( " \
	" SELECT t.oid, t.typname AS name, lower(t.typname COLLATE \"C\") AS word, t.typnamespace AS schema, t.typtype, t.typrelid, t.typarray FROM pg_type t " \
	" JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid >= 16384 AND t.typcategory <> 'A' AND " \
	" n.nspname !~ '^pg_(temp|toast)' AND (lower(t.typname COLLATE \"C\") IN (SELECT word FROM declared) OR " \
	" (SELECT count(*) > 0 FROM declared WHERE word IS NULL)) " \
	"), several AS ( " \
	" SELECT * FROM own_types WHERE name IN (SELECT name FROM own_types GROUP BY name HAVING count(*) > 1) " \
	"), ambiguous AS ( " \
	" SELECT DISTINCT min(word) AS word FROM (SELECT name, word, CASE WHEN typtype <> 'c' OR " \
	" oid IN (SELECT atttypid FROM pg_attribute WHERE attrelid >= 16384) OR " \
	" typarray IN (SELECT atttypid FROM pg_attribute WHERE attrelid >= 16384) OR " \
	" oid IN (SELECT unnest(proargtypes) FROM pg_proc WHERE oid >= 16384) OR " \
	" typarray IN (SELECT unnest(proargtypes) FROM pg_proc WHERE oid >= 16384) THEN oid::text ELSE " \
	" (SELECT string_agg(concat_ws(' ', attname, atttypid, atttypmod, attcollation), ',' ORDER BY attnum) FROM pg_attribute " \
	" WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped) END AS made_of FROM several) AS one " \
	" GROUP BY name HAVING count(DISTINCT made_of) > 1 " \
	"), paths AS ( " \
	" SELECT 'function ' || oid::regprocedure AS what FROM functions WHERE (SELECT count(*) > 0 FROM ambiguous) AND " \
	" NOT is_known AND CASE WHEN lanname = 'internal' THEN prosrc LIKE 'set_config%' WHEN lanname NOT IN ('sql', 'plpgsql') " \
	" OR is_big THEN true ELSE src ~ $r$search_path|\\mset\\s+(local\\s+|session\\s+)?(schema|role|session)\\M|\\mreset\\M|set_config\\s*[(]\\s*[^\\s']|u&[\"']|_to_xml|\\mts_(stat|rewrite)|crosstab|connectby|xpath_table$r$ " \
	" OR tree ~ (SELECT string_agg(pattern, '|') FROM calls WHERE part & 1 <> 0) " \
	" OR regexp_replace(src, $r$\\mexecute\\s+((function|procedure|on)\\M|(format\\s*[(]\\s*)?'([^'%]|''|%([0-9]+[$])?[il]|%%)*'\\s*(;|,|[)]|using\\M|into\\M))$r$, '', 'g') ~ '\\mexecute\\M' END " \
	" UNION ALL SELECT what FROM trees, calls WHERE (SELECT count(*) > 0 FROM ambiguous) AND part & 1 <> 0 AND " \
	" tree ~ pattern AND what NOT LIKE 'function %' " \
	" UNION ALL SELECT 'settings of ' || oid::regprocedure FROM (SELECT DISTINCT ON (f.path) f.oid, f.path FROM functions f " \
	" WHERE f.path IS NOT NULL) AS f, LATERAL (SELECT word, min(first_in) FILTER (WHERE is_own) AS own, min(first_in) FILTER " \
	" (WHERE NOT is_own) AS usual FROM (SELECT DISTINCT ON (p.is_own, a.word) p.is_own, a.word, s.oid AS first_in FROM ambiguous a " \
	" JOIN several s ON s.word = a.word JOIN pg_namespace n ON n.oid = s.schema, " \
	" (VALUES (true, f.path), (false, (SELECT reset_val FROM pg_settings WHERE name = 'search_path'))) AS p(is_own, path), " \
	" unnest(string_to_array(p.path, ',')) WITH ORDINALITY AS e(schema, place) " \
	" WHERE n.nspname = CASE trim(BOTH ' \"' FROM e.schema) WHEN '$user' THEN current_user ELSE trim(BOTH ' \"' FROM e.schema) END " \
	" ORDER BY p.is_own, a.word, e.place) AS firsts GROUP BY word) AS r WHERE own <> usual OR usual IS NULL AND own IS NOT NULL " \
	"), found AS ( " \
	" SELECT 'function ' || oid::regprocedure AS what, parts FROM bodies WHERE parts <> 0 " \
	" UNION ALL SELECT 'settings of ' || oid::regprocedure, 2 FROM pg_proc WHERE oid >= 16384 AND " \
	"array_to_string(proconfig, ' ') ~* 'search_path=.*pg_temp' " \
	" UNION ALL SELECT 'settings of ' || oid::regprocedure, 128 FROM pg_proc WHERE oid >= 16384 AND " \
	"array_to_string(proconfig, ' ') ~* '(^| )seed=' " \
	" UNION ALL SELECT what, part FROM trees, calls WHERE tree ~ pattern " \
	" UNION ALL SELECT 'operator ' || o.oid::regoperator, part FROM pg_operator o JOIN risky r ON r.oid = " \
	"o.oprcode WHERE o.oid >= 16384 " \
	" UNION ALL SELECT 'cast to ' || casttarget::regtype, part FROM pg_cast c JOIN risky r ON r.oid = " \
	"c.castfunc WHERE c.oid >= 16384 " \
	" UNION ALL SELECT 'aggregate ' || aggfnoid::regprocedure, part FROM pg_aggregate a JOIN risky r ON " \
	"r.oid IN (aggtransfn, aggfinalfn, aggcombinefn, aggmtransfn, aggminvtransfn, aggmfinalfn) WHERE " \
	"aggfnoid >= 16384 " \
	" UNION ALL SELECT 'settings of roles or databases', 2 FROM pg_db_role_setting WHERE " \
	"array_to_string(setconfig, ' ') ~* 'search_path=.*pg_temp' " \
	" UNION ALL SELECT 'foreign server ' || srvname, CASE WHEN EXISTS (SELECT FROM c_functions WHERE proname = " \
	"'postgres_fdw_disconnect_all') THEN 512 ELSE 256 END FROM pg_foreign_server s WHERE EXISTS (SELECT FROM " \
	"pg_foreign_data_wrapper w JOIN pg_proc p ON p.oid = w.fdwhandler WHERE w.oid = s.srvfdw AND p.prosrc = " \
	"'postgres_fdw_handler') " \
	" UNION ALL SELECT 'immutable function ' || oid::regprocedure, 1024 FROM doubtful " \
	" UNION ALL SELECT 'constraint ' || conname, 256 FROM pg_constraint, lasting WHERE contypid <> 0 AND conbin::text ~ " \
	"pattern " \
	" UNION ALL SELECT 'index ' || indexrelid::regclass, 256 FROM pg_index, lasting WHERE indexrelid >= 16384 AND " \
	"concat(indexprs, indpred) ~ pattern " \
	" UNION ALL SELECT DISTINCT 'variables of ' || oid::regprocedure, 2048 FROM declared WHERE path IS NULL AND (word IN (SELECT word " \
	" FROM ambiguous) OR word IS NULL AND (SELECT count(*) > 0 FROM ambiguous)) " \
	" UNION ALL SELECT what, 4096 FROM paths " \
	" UNION ALL SELECT DISTINCT 'variables of ' || oid::regprocedure, 8192 FROM declared WHERE (path IS NULL OR path !~ 'pg_temp') " \
	" AND (word IN (SELECT word FROM own_types) OR word IS NULL AND (SELECT count(*) > 0 FROM own_types)) " \
	" UNION ALL SELECT 'literals of ' || oid::regprocedure, 16384 FROM functions WHERE lanname = 'plpgsql' AND NOT is_known AND " \
	" (is_big OR src ~ $r$'[^']*[0-9]\\s*[-/.: ]\\s*[0-9][^']*'$r$) " \
	" UNION ALL SELECT 'text of ' || oid::regprocedure, 16384 FROM functions WHERE is_constant AND NOT is_known AND lanname IN " \
	" ('sql', 'plpgsql') AND (is_big OR tree IS NOT NULL OR src ~ $r$to_(char|date|timestamp|number)|::\\s*(text|varchar)|\\m(cast|concat|concat_ws|format)\\M$r$) " \
	" UNION ALL SELECT 'rights of ' || oid::regprocedure, 16384 FROM pg_proc WHERE provolatile = 'i' AND proacl IS NOT NULL AND " \
	" NOT EXISTS (SELECT FROM aclexplode(proacl) AS acl WHERE acl.grantee = 0) " \
	" UNION ALL SELECT 'moment in ' || oid::regprocedure, 1024 FROM functions WHERE lanname = 'plpgsql' AND NOT is_known AND " \
	" src ~ $r$'\\s*(now|today|tomorrow|yesterday)\\s*'$r$ " \
	"), widened AS ( " \
	" SELECT what, parts | CASE WHEN parts & 255 = 255 AND EXISTS (SELECT FROM c_functions WHERE proname = " \
	"'dblink_get_connections') THEN 512 ELSE 0 END AS parts FROM found " \
	") " \
	"SELECT 'c', parts::text, count(*) || ' ' || string_agg(what, ', ') FILTER (WHERE n <= 5) " \
	"FROM (SELECT what, parts, row_number() OVER (PARTITION BY parts ORDER BY what) AS n FROM widened) AS " \
	"numbered GROUP BY parts " \
	"UNION ALL (SELECT DISTINCT 'n', coalesce(m[1], m[2]), '' FROM bodies, " \
	" regexp_matches(src, $r$'([a-z_][a-z0-9_$]*[.][a-z0-9_$.]+)'|\\mset\\s+(?:session\\s+)?([a-z_][a-z0-9_$]*[." \
	"][a-z0-9_$.]+)$r$, 'g') AS m " \
	" WHERE parts & 1 <> 0 LIMIT 200) " \
	"UNION ALL SELECT 's', min(schema::text), '' FROM c_functions WHERE proname = 'postgres_fdw_disconnect_all' " \
	"HAVING count(*) = 1 " \
	"UNION ALL SELECT 'q', '', '' WHERE NOT EXISTS (SELECT FROM pg_class WHERE relkind = 'S'); "
