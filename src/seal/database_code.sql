-- src/seal/database_code.sql - the full question of database_code.h: by which names can SQL reach code of the database
-- that touches session state? It continues the query of database_code_signs.sql. By hand:
--     cd src/seal; (cat database_code_settings.sql; awk -f extensions.awk extensions.tsv; cat database_code{_signs,}.sql) | psql -1
--
-- The build makes a string of each file (database_code_sql.h), without comments and with one blank for each end of a
-- line.
-- Always: the question means the same under any setting that it does not make itself; all output is ASCII.
--
-- - inserts: PL/pgSQL functions with an EXECUTE whose text can be nothing but an INSERT into a table: one constant, or
--   constants and what quote_ident() or format() has quoted, with no string, comment or second statement in them. Such
--   an EXECUTE is no sign. Its words count as all words of a body, but the table may be any (class 3). rest: the body,
--   with blanks in place of such EXECUTEs. There are none if a type or column is called quote_ident, because
--   quote_ident(x) may then be a cast or a column of x, unquoted.
-- - name (in insert_form): an expression that may stand for the table without quote_ident(): a regclass, which quotes
--   itself. In a trigger also a variable of that type, if nothing else is declared under its name; and TG_TABLE_NAME,
--   TG_ARGV and the like, if all values that the function may get are plain names (odd_trigger), the body does not set
--   them (sets), and it has no comments within comments (gap).
-- - fun: the database's functions, but for those in pg_temp that nothing uses. is_big: the body is not read, because it
--   has more than 64 kB, or is past 48 MB in all.
-- - lower(), and regexp_replace() if is_bytes: names are folded as PostgreSQL folds them. In an encoding of single
--   bytes it also folds letters above 127, as its locale says, so here all of these become one letter.
-- - word: the words of bodies. A dollar ends a word, because a word may follow a dollar quote, a parameter or a number
--   without a space. Names that contain a dollar, begin with a digit or are not ASCII, and operators, are searched for
--   as they are.
-- - named: the names that SQL of any session may contain. An operator shows by its symbol, and by words that stand for
--   it, if neither operand's type is the database's own; else by that type; by both if constants alone could choose the
--   operator. They can't choose one of T and a type of the database if PostgreSQL has one of T and T, because an
--   unknown constant beside a T, or beside something that becomes a T, is taken for a T.
-- - edge: dependencies that PostgreSQL stores: what uses (class, oid), runs (ac, ao). mode: p passes all risks on; w
--   makes them risks of writing (triggers, defaults, keys); a, of bodies that write or do DDL, makes risks of writing
--   count always; r drops risks of writing. class: as in pg_depend, or 0 the whole database, 1 a name in bodies and in
--   triggers' arguments, 2 opaque SQL (CREATE SERVER runs a validator that it does not name), 3 any table, 3466 with
--   oid 0 DDL. A cast is used where its source is, if that is a type of the database; else where its target is.
--   C that inserts into tables (inserts in extensions.tsv: parts = 0) uses any table.
-- - base: where risks begin. VOLATILE functions have a risk of their own (RISK_EFFECTS), which is passed on like
--   others; words in bodies show effects of PostgreSQL's own functions.
--   LOAD counts where a statement may begin, and anywhere in a body that could run text, if a string follows, the end
--   of one, an escape, or something that stands for a string. A question mark does so only at the end of a statement.
--   FOR UPDATE: PostgreSQL refuses it in functions that are not VOLATILE, except in those that are inlined: STABLE
--   functions in SQL that return a set.
--   Arguments of triggers are SQL only for such C, as in pgq's 'when=...'.
--   An extension or a language that a body makes (32768, RISK_KEEPS) may be gone again afterwards, while what it has
--   left stays. A language counts where it is named (DO LANGUAGE), even if its handler is known.
--   C of unknown extensions may keep something, whatever volatility it declares. If VOLATILE, this counts for all that
--   could reach the function. Otherwise (16384) it counts only where a function or an aggregate is called, by words of
--   SQL or of bodies, views, triggers, ..., but not through operators, types, casts and indexes, because then a type
--   would cost each statement that has it. It does not count if PostgreSQL has functions of that name and this one is
--   for another type (is_type_bound).
-- - support: functions that no SQL can call, and that are no handlers.
-- - reached: the order of risks: first those that close a connection, then those that are washed, then the rest, so
--   that chain tells the worst.
-- - reach: all that the risks of base reach by edges. UNION uses hashes here, because a merge would sort all edges
--   again in each round. Signs of state in the backend (49408) don't count for functions that are declared harmless.
--   What a client wants (402653184) goes no further than the function.
-- - chain: the shortest way from a name back to its cause, because reach finds shorter ways first.
--
-- Rows: 'r', name, "KIND RISK WRITE_RISK chain" (KIND: enum risk_name_kind; a name that is not ASCII: "\x7f"); 't', OID of a
-- type, "RISK WRITE_RISK"; 'a', "", "ALL EVER DDL OBJECTS": the risks of opaque SQL, of any SQL, of DDL, and of all
-- objects but functions that are called by their names; 'e', see database_code_signs.sql; 'n', a custom setting that
-- this code names; 's', the schema of postgres_fdw; 'q' if there is no sequence. The numbers are those of enum
-- state_part and enum code_risk (seal.h).
, own AS (
	SELECT p.oid, proname, prosrc, prolang, s.parts, '' AS extname FROM signs s JOIN pg_proc p ON p.proname = s.word::name WHERE p.oid < 16384
	UNION ALL SELECT oid, proname, prosrc, prolang, CASE WHEN parts & 255 = 255 THEN anything | parts WHEN proname IN (SELECT proname FROM pg_proc WHERE oid NOT IN (SELECT oid FROM leaving)) THEN parts & ~134217728 ELSE parts END, extname FROM leaving, remote
),
fun AS (
	SELECT *, CASE WHEN lanname NOT IN ('c', 'internal') AND NOT is_big THEN CASE WHEN (SELECT is_bytes FROM remote) THEN
			regexp_replace(lower(prosrc COLLATE "C"), $r$[^\x01-\x7f]$r$, chr(127), 'g') ELSE lower(prosrc COLLATE "C") END END AS src,
		lanname IN ('sql', 'plpgsql') AS is_sql
	FROM (
		SELECT p.oid, lanname, octet_length(prosrc) > 65536 OR sum(octet_length(prosrc)) OVER (ORDER BY p.oid) > 48000000 AS is_big,
			pronamespace IN (SELECT oid FROM temporary) AS is_temporary, array_to_string(proconfig, ' ') AS config, provolatile, prorettype, proname, proacl, prosrc, extname,
			EXISTS (SELECT FROM pg_proc o WHERE o.oid < 16384 AND o.proname = p.proname)
				AND EXISTS (SELECT FROM unnest(proargtypes) AS t WHERE t >= 16384) AS is_type_bound,
			coalesce(is_known, false) OR NOT lanname = ANY ('{sql,plpgsql}') AND p.oid IN (SELECT oid FROM declared) AS is_known
		FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN member m ON m.oid = p.oid
		WHERE p.oid >= 16384 AND (pronamespace NOT IN (SELECT oid FROM temporary) OR p.oid IN (SELECT refobjid FROM pg_depend WHERE refclassid = 1255))
	) AS f
),
support(oid) AS (
	SELECT oid
	FROM pg_proc
	WHERE 2281 = ANY (proargtypes)
		AND oid NOT IN (SELECT refobjid FROM pg_depend WHERE refclassid = 1255 AND classid = ANY ('{2328,2601,2607,2612,3576,3601,3764}'))
),
named(class, oid, name, kind) AS (
	SELECT class, oid,
		CASE WHEN (SELECT is_bytes FROM remote) THEN regexp_replace(lower(name COLLATE "C"), $r$[^\x01-\x7f]$r$, chr(127), 'g') ELSE lower(name COLLATE "C") END, kind
	FROM (
		SELECT 1255::oid, oid, proname::text, 'f' FROM fun WHERE NOT is_temporary
		UNION ALL SELECT 1259, oid, relname, 'r' FROM pg_class WHERE relkind = ANY ('{r,v,m,f,p,c}') AND relpersistence <> 't'
		UNION ALL SELECT 2612, oid, lanname, 'r' FROM pg_language
		UNION ALL SELECT 2616, oid, opcname, 'r' FROM pg_opclass
		UNION ALL SELECT 1247, oid, typname, 'r' FROM pg_type WHERE typnamespace NOT IN (SELECT oid FROM temporary)
		UNION ALL SELECT 2617, oid, 'operator', 'n' FROM pg_operator WHERE oprnamespace NOT IN (SELECT oid FROM temporary)
		UNION ALL SELECT 2617, o.oid, k, CASE WHEN k = oprname OR k = '!=' THEN 'o' ELSE 'n' END
		FROM pg_operator o LEFT JOIN fun f ON f.oid = oprcode
			LEFT JOIN (
				VALUES
					('{~~,!~~}', '{like}'),
					('{~~*,!~~*}', '{ilike}'),
					('{~,!~}', '{similar}'),
					('{>=,<=,<,>}', '{between}'),
					('{=}', '{in,nullif,distinct,case,using,natural}'),
					('{<>}', '{in,!=}')
			) AS a(symbols, words) ON oprname = ANY (symbols::name[]),
			unnest(oprname::text || coalesce(words::text[], '{}')) AS k
		WHERE oprnamespace NOT IN (SELECT oid FROM temporary)
			AND (oprleft < 16384 AND oprright < 16384 OR is_known IS NOT TRUE
			AND (
				CASE
					WHEN oprleft BETWEEN 1 AND 16383 OR oprright BETWEEN 1 AND 16383 THEN
						(oprname, least(oprleft, oprright)) NOT IN (SELECT oprname, oprleft FROM pg_operator WHERE oid < 16384 AND oprleft = oprright)
					ELSE oprleft = 0 OR oprname NOT IN (SELECT oprname FROM pg_operator WHERE oid < 16384 AND oprleft = 25 AND oprright = 25)
				END
					OR ARRAY[oprleft, oprright] && ARRAY(
						SELECT oid FROM pg_type WHERE oid >= 16384 AND (typtype <> ALL ('{b,e}') OR typcategory IN ('A', 'S') OR typispreferred)
						UNION ALL SELECT casttarget FROM pg_cast WHERE castcontext = 'i' AND castsource < 16384 AND casttarget >= 16384
					)
			))
	) AS n(class, oid, name, kind)
	WHERE oid >= 16384
),
vocabulary AS (SELECT name, (row_number() OVER ())::text::oid AS id FROM (SELECT DISTINCT name FROM named) AS v),
word AS (
	SELECT DISTINCT oid, lanname, CASE WHEN octet_length(w) > 63 THEN w::name::text ELSE w END COLLATE "C" AS word
	FROM fun,
		LATERAL (
			SELECT CASE WHEN w BETWEEN '0' AND ':' THEN regexp_replace(w, '^[0-9]+(e[0-9]+)?', '') ELSE w END AS w
			FROM unnest(string_to_array(regexp_replace(src, $r$[\t-\r ()[\]{}.,;:'"=<>+*/%&|!~^@#?$`\\-]+$r$, ' ', 'g'), ' ')) AS w
		) AS w
	WHERE octet_length(w) > 63 OR w LIKE 'pg_temp_%'
		OR w IN (
			SELECT name FROM vocabulary
			UNION ALL SELECT word FROM signs
			UNION ALL SELECT name FROM effect WHERE oid < 16384
			UNION ALL SELECT unnest('{insert,update,delete,merge,copy,alter,refresh,drop,grant,revoke,comment,security,import,reindex,into,share,set,do}'::text[])
		)
	UNION SELECT oid, lanname, odd.name
	FROM (SELECT DISTINCT name FROM named WHERE kind = 'o' OR kind IN ('f', 'r') AND name ~ '^[0-9]|[^a-z0-9_]') AS odd
		JOIN fun ON strpos(src, replace(odd.name, '"', '""')) > 0
),
writes AS (SELECT DISTINCT oid FROM word WHERE word = ANY ('{insert,update,delete,merge,copy,alter,refresh}')),
odd_trigger AS (
	SELECT tgfoid
	FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
	WHERE relpersistence <> 't'
		AND concat(relname, nspname, replace(replace(encode(tgargs, 'escape'), '\000', ''), '.', '')) ~ '[^A-Za-z0-9_]'
),
insert_form(form, name, of_trigger, gap, sets) AS (
	SELECT
		replace(replace(replace(
			$r$execute(?=\s+(format\(\s*'\s*insert\s+into\s+($r$
				|| $r$([a-z0-9_]+\.|%([0-9]+\$)?i\.)?[a-z0-9_]*(%([0-9]+\$)?i)?<rest>'\s*(,<term>)?$r$
				|| $r$|([a-z0-9_]+\.)?[a-z0-9_]*%(1\$)?s<rest>'\s*,\s*<name>\s*(,<term>)?$r$
				|| $r$|%(1\$)?[is]\.[a-z0-9_]*%(2\$)?[is]<rest>'\s*,\s*<name>\s*,\s*<name>\s*(,<term>)?)\)$r$
				|| $r$|'\s*insert\s+into\s+([a-z0-9_]+\.)?[a-z0-9_]*$r$
				|| $r$('\s*[|][|]\s*<name>(\s*[|][|]\s*'\.[a-z0-9_]*'\s*[|][|]\s*<name>)?\s*[|][|]\s*')?(<plain>)*'$r$
				|| $r$(\s*[|][|]\s*quote_(literal|nullable)\(<term>\)\s*[|][|]\s*'(<plain>)*')*)\s*(;|(using|into)\s))$r$,
			'<rest>', '(<plain>|%([0-9]+\$)?l)*'), '<plain>', $r$[a-z0-9_\s,.()*:=]|\$[0-9]$r$), '<term>', term),
		$r$(quote_ident\($r$ || term || $r$\)|([a-z0-9_.]+(\[[a-z0-9_]*\])?|\($r$ || term || $r$\)|'[^';\\]*')::regclass(::text)?$r$,
		'|(' || of_trigger || $r$|tg_argv\[[a-z0-9_]*\])(::text)?$r$,
		gap,
		replace(replace(
			$r$(^|;|>>|\m(begin|then|else|loop|declare)\M)<gap>([a-z0-9_"]+<gap>\.<gap>)?"?<var>|<var>"?<gap>(\[[^]]*\]<gap>)?:=$r$
				|| $r$|\m(into|strict|for|foreach)\M<gap>([a-z0-9_$."[\]]+<gap>,<gap>)*[a-z0-9_."]*<var>|\m(diagnostics|call|alias)\M[^;]*<var>$r$,
			'<gap>', gap), '<var>', '(' || of_trigger || '|tg_argv)')
	FROM (
		VALUES (
			replace($r$(~|\((~|\((~)*\))*\))*$r$, '~', $r$[a-z0-9_.,\s|:+[\]]|'[^';\\]*'$r$),
			'tg_(table_name|relname|table_schema)', $r$(\s|/\*([^*]|\*+[^*/])*\*+/|--[^\n\r]*[\n\r])*$r$
		)
	) AS t(term, of_trigger, gap)
),
inserts(oid, rest) AS (
	SELECT oid, regexp_replace(src, replace(form, '<name>', concat(name, CASE WHEN prorettype = 2279 THEN names END, ')')), '       ', 'g')
	FROM insert_form, word JOIN fun USING (oid),
		LATERAL (
			SELECT concat(
				CASE WHEN src !~ sets AND oid NOT IN (SELECT tgfoid FROM odd_trigger) THEN of_trigger END,
				(
					SELECT string_agg('|' || v[1] || '(::text)?', '')
					FROM regexp_matches(src, $r$\m([a-z_][a-z0-9_]*)\s+(?:constant\s+)?regclass\M(?!\s*[[])$r$, 'g') AS v
					WHERE src !~ concat('\m', v[1], '\M"?', gap, '(constant\M', gap,
						$r$(?!regclass\M)|(?!(constant|regclass|is|in|and|or|then|from|using|not|else|end|when|as|order|where|limit|loop)\M))[a-z_"]$r$)
				)
			)
		) AS n(names)
	WHERE word = 'execute' AND fun.lanname = 'plpgsql' AND src ~ $r$execute\s+(format\(\s*)?'\s*insert\s$r$
		AND src !~ $r$/\*([^*]|\*+[^*/])*/\*$r$
		AND NOT EXISTS (SELECT FROM fun WHERE NOT is_temporary AND proname IN ('format', 'quote_ident', 'quote_literal', 'quote_nullable'))
		AND NOT EXISTS (
			SELECT oprnamespace FROM pg_operator WHERE oid >= 16384 AND oprname = '||' AND (oprleft IN (19, 25, 2205) OR oprright IN (19, 25, 2205))
			UNION ALL SELECT typnamespace FROM pg_type WHERE oid >= 16384 AND typname = ANY ('{quote_ident,quote_literal,quote_nullable,regclass}')
			UNION ALL SELECT relnamespace
			FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
			WHERE attrelid >= 16384 AND attname = ANY ('{quote_ident,quote_literal,quote_nullable}')
			EXCEPT SELECT oid FROM temporary
		)
),
inserter AS (SELECT oid FROM inserts WHERE rest !~ $r$(^|[^a-z_])execute([^a-z0-9_]|$)$r$),
base(class, oid, w, parts, reason) AS (
	SELECT 1255::oid, oid, false, anything | CASE WHEN lanname = 'c' THEN CASE WHEN
		provolatile = 'v' AND oid NOT IN (SELECT oid FROM support) THEN 1280 WHEN is_type_bound THEN 1024 ELSE 17408 END WHEN NOT is_sql AND lanname <> 'c' THEN 1280 ELSE 1024 END,
		CASE WHEN is_big THEN 'a long body' ELSE concat('extension ' || extname || ', ', 'language ', lanname) END
	FROM fun, remote
	WHERE is_big OR NOT is_sql AND lanname <> 'internal' AND NOT (is_known AND (lanname = 'c' OR strpos(src, 'spi') + strpos(src, 'plpy') = 0))
	UNION ALL SELECT 1255, f.oid, false, parts, 'internal' FROM fun f JOIN own o USING (prosrc) WHERE lanname = 'internal' AND prolang = 12
	UNION ALL SELECT 1255, oid, false, parts, CASE WHEN word = 'execute' THEN concat(
		'EXECUTE in line ', length(head) - length(replace(head, E'\n', '')) + 1, ' of ',
		left(regexp_replace(substring(substr(prosrc, length(head) + 8) FROM $r$^\s*([^;]*)$r$), '\s+', ' ', 'g'), 80)
	) ELSE upper(word) END
	FROM word JOIN signs USING (word) JOIN fun USING (oid) LEFT JOIN inserts i USING (oid),
		LATERAL (SELECT CASE WHEN word = 'execute' THEN regexp_replace(coalesce(rest, src), $r$\mexecute\M.*$$r$, '') END) AS h(head)
	WHERE (word <> 'execute' OR oid NOT IN (SELECT oid FROM inserter))
		AND (word <> 'create' OR regexp_replace(src, $r$\mcreate\s+temp(orary)?\s+table\M$r$, '', 'g') ~ $r$(^|[^a-z_])create([^a-z0-9_]|$)$r$)
	UNION ALL SELECT 1255, oid, false, CASE word WHEN 'into' THEN 2 ELSE anything END, word
	FROM word, remote
	WHERE word LIKE 'pg_temp_%' OR word = 'into' AND lanname = 'sql'
	UNION ALL SELECT 1255, oid, false, 256, 'LOAD'
	FROM fun
	WHERE strpos(src, 'load') > 0
		AND src ~ concat(
			CASE WHEN src !~ $r$\m(execute|create|do)\M$r$ THEN $r$(^|;|>>|\*/|--[^\n]*|\m(begin|then|else|loop)\M)\s*$r$ END,
			$r$\mload\s*([eu]?&?'|[$%"\\@#{<:~]|\?\s*([^\sa-z]|$)|--|/\*)$r$
		)
	UNION ALL SELECT 1255, oid, false, 32768, 'CREATE EXTENSION'
	FROM fun
	WHERE (strpos(src, 'extension') > 0 OR strpos(src, 'language') > 0)
		AND src ~ replace(
			$r$\m(create|alter|drop)<gap>(((or<gap>replace|trusted|procedural)<gap>)*language|extension)\M|\mcreate\M.*\mlanguage<gap>c\M$r$,
			'<gap>', $r$(\s|['"|$]|\\[a-z]|/\*([^*]|\*+[^*/])*\*+/|--[^\n\r]*[\n\r])+$r$
		)
	UNION ALL SELECT 1255, oid, false, CASE WHEN src ~ $r$\mdo\M$r$ THEN anything ELSE 129 END, 'SET, DO'
	FROM fun, remote
	WHERE oid IN (SELECT oid FROM word WHERE word IN ('set', 'do')) AND src ~ $r$(^|;|>>|\*/|--[^\n]*|\m(begin|then|else|loop)\M)\s*(set|do)\M$r$
	UNION ALL SELECT 1255, oid, false, anything, 'U&"' FROM fun, remote WHERE strpos(src, 'u&"') > 0
	UNION ALL SELECT 1255, oid, false, 130, config FROM fun WHERE config ~* $r$pg_temp|(^| )seed=$r$
	UNION ALL SELECT 1255, oid, false, parts, 'extension ' || extname FROM own WHERE oid >= 16384
	UNION ALL SELECT 1255, oid, false, CASE WHEN provolatile = 'v' AND prorettype <> 2279 THEN 5120 ELSE 1024 END, lanname
	FROM fun
	WHERE is_sql AND NOT (is_known AND lanname = 'sql')
	UNION ALL SELECT class, oid, false, 4096, 'effects'
	FROM effect
	WHERE oid >= 16384 AND oid NOT IN (SELECT oid FROM fun WHERE is_sql AND NOT (is_known AND lanname = 'sql'))
	UNION ALL SELECT class, oid, false, 4096, 'effects' FROM stored
	UNION ALL SELECT 1255, f.oid, false, 4096, 'effects'
	FROM word JOIN effect e ON e.name = word AND e.oid < 16384 JOIN fun f ON f.oid = word.oid
	WHERE f.provolatile <> 'v'
	UNION ALL SELECT 1255, f.oid, false, 4096, 'row locks'
	FROM word JOIN fun f USING (oid)
	WHERE word = ANY ('{update,share}') AND f.lanname = 'sql' AND provolatile <> 'v'
	UNION ALL SELECT 1255, oid, false, 4096, 'internal'
	FROM fun
	WHERE lanname = 'internal' AND prosrc IN (SELECT prosrc FROM pg_proc p JOIN effect e USING (oid) WHERE class = 1255 AND oid < 16384)
	UNION ALL SELECT 1255, oid, false, 1024, 'rights'
	FROM fun
	WHERE provolatile = 'i' AND proacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(proacl) AS acl WHERE acl.grantee = 0)
	UNION ALL SELECT class, t.oid, w, parts, proname
	FROM (SELECT * FROM tree WHERE tree ~ (SELECT ':(func|opfunc)id (' || string_agg(oid::text, '|') || ') ' FROM own)) AS t
		JOIN own o ON t.tree ~ (':(func|opfunc)id ' || o.oid || ' ')
	UNION ALL SELECT class, oid, w, 1, 'pg_settings' FROM tree WHERE tree ~ (':relid ' || 'pg_settings'::regclass::oid || ' ')
	UNION ALL SELECT 1255, aggfnoid, false, parts, proname
	FROM pg_aggregate JOIN own o ON o.oid IN (aggtransfn, aggfinalfn, aggcombinefn, aggmtransfn, aggminvtransfn, aggmfinalfn)
	UNION ALL SELECT 2617, o.oid, false, parts, proname FROM pg_operator o JOIN own w ON w.oid = oprcode
	UNION ALL SELECT 2605, c.oid, false, parts, proname FROM pg_cast c JOIN own w ON w.oid = castfunc
	UNION ALL SELECT 1259, tgrelid, true, anything, 'arguments of trigger ' || tgname
	FROM pg_trigger JOIN leaving l ON l.oid = tgfoid, remote
	WHERE l.parts = 0 AND strpos(encode(tgargs, 'escape'), '=') > 0
	UNION ALL SELECT 2612, oid, false, 256, 'language ' || lanname
	FROM pg_language l
	WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM thing t WHERE t.kind = 'language' AND t.oid = l.oid)
	UNION ALL SELECT 2, 0, false, 2, 'settings of roles or databases'
	FROM pg_db_role_setting
	WHERE array_to_string(setconfig, ' ') ~* 'search_path=.*pg_temp'
),
edge(ac, ao, class, oid, mode) AS (
	SELECT *
	FROM (
		SELECT refclassid, refobjid, classid, objid,
			CASE WHEN refclassid <> 1259 THEN 'p' WHEN classid = 1255 THEN 'a' WHEN classid = 1247 THEN 'r' ELSE 'p' END
		FROM pg_depend
		WHERE deptype = ANY ('{n,a,i}')
			AND (
				refclassid IN (1255, 2617, 1247, 2616, 2753, 2605, 3576, 2601, 2328, 1417) OR refclassid = 1259
					AND classid IN (2618, 3256, 1247, 1255)
			)
		UNION ALL SELECT 2618, oid, 1259, ev_class, CASE ev_type WHEN '1' THEN 'p' ELSE 'w' END FROM pg_rewrite
		UNION ALL SELECT 3256, oid, 1259, polrelid, 'p' FROM pg_policy
		UNION ALL SELECT 2604, oid, 1259, adrelid, 'w' FROM pg_attrdef
		UNION ALL SELECT 2606, oid, 1259, conrelid, CASE contype WHEN 'c' THEN 'p' ELSE 'w' END FROM pg_constraint
		UNION ALL SELECT 2606, oid, 1247, contypid, 'p' FROM pg_constraint WHERE contypid <> 0
		UNION ALL SELECT 1259, conrelid, 1259, confrelid, 'w' FROM pg_constraint WHERE contype = 'f' AND ARRAY[confupdtype, confdeltype] && '{c,n,d}'
		UNION ALL SELECT s.class, s.oid, 1259, f.other, 'w'
		FROM (
			SELECT 1259 AS class, indexrelid AS oid, indrelid AS rel FROM pg_index WHERE indexrelid >= 16384
			UNION SELECT 3381, oid, stxrelid FROM pg_statistic_ext
			UNION SELECT 2606, oid, conrelid FROM pg_constraint WHERE contype = 'c'
		) AS s
			JOIN (
				SELECT conrelid AS rel, confrelid AS other FROM pg_constraint WHERE contype = 'f'
				UNION SELECT confrelid, conrelid FROM pg_constraint WHERE contype = 'f'
			) AS f USING (rel)
		UNION ALL SELECT 2620, oid, 1259, tgrelid, 'w' FROM pg_trigger
		UNION ALL SELECT 1259, indexrelid, 1259, indrelid, 'p' FROM pg_index
		UNION ALL SELECT 3381, oid, 1259, stxrelid, 'p' FROM pg_statistic_ext
		UNION ALL SELECT 1259, inhrelid, 1259, inhparent, 'p' FROM pg_inherits
		UNION ALL SELECT 1259, inhparent, 1259, inhrelid, 'p' FROM pg_inherits JOIN pg_partitioned_table ON partrelid = inhparent
		UNION ALL SELECT 1259, oid, 1247, reltype, 'r' FROM pg_class WHERE relkind = 'c'
		UNION ALL SELECT 1259, r.objid, 1255, f.objid, 'a'
		FROM pg_depend r JOIN pg_depend f USING (refclassid, refobjid) JOIN pg_proc p ON p.oid = f.objid JOIN pg_class t ON t.oid = r.objid
		WHERE relkind IN ('r', 'p') AND refclassid = 3079 AND r.classid = 1259 AND f.classid = 1255 AND p.prolang = 13 AND r.deptype = 'e'
			AND f.deptype = 'e'
		UNION ALL SELECT 2617, oid, 1247, t, 'p' FROM pg_operator, unnest(ARRAY[oprleft, oprright]) AS t WHERE t >= 16384
		UNION ALL SELECT 2617, o, 2617, oid, 'p' FROM pg_operator, unnest(ARRAY[oprcom, oprnegate]) AS o
		UNION ALL SELECT 2605, oid, 1247, t, 'p' FROM pg_cast, greatest(castsource, CASE WHEN castsource < 16384 THEN casttarget END) AS t WHERE t >= 16384
		UNION ALL SELECT 2605, oid, 0, 0, 'p' FROM pg_cast WHERE castsource < 16384 AND casttarget < 16384
		UNION ALL SELECT 2616, oid, 0, 0, 'p' FROM pg_opclass WHERE opcintype < 16384 AND opcdefault
		UNION ALL SELECT 2753, amopfamily, 2617, amopopr, 'p' FROM pg_amop WHERE oid >= 16384
		UNION ALL SELECT 2617, amopopr, 2753, amopfamily, 'p' FROM pg_amop
		UNION ALL SELECT 1255, amproc, 2753, amprocfamily, 'p' FROM pg_amproc
		UNION ALL SELECT 1255, amproc, CASE WHEN t < 16384 THEN 0 ELSE 1247 END, CASE WHEN t < 16384 THEN 0 ELSE t END, 'p'
		FROM pg_amproc, unnest(ARRAY[amproclefttype, amprocrighttype]) AS t
		WHERE amprocfamily < 16384
		UNION ALL SELECT 1255, refobjid, 0, 0, 'p' FROM pg_depend WHERE refclassid = 1255 AND classid IN (3601, 3764, 2607)
		UNION ALL SELECT 1255, fdwvalidator, 2, 0, 'p' FROM pg_foreign_data_wrapper
		UNION ALL SELECT 1255, evtfoid, 3466, 0, 'p' FROM pg_event_trigger
		UNION ALL SELECT 2601, oid, 3466, 0, 'p' FROM pg_am
		UNION ALL SELECT 1259, oid, 3, 0, 'p' FROM pg_class WHERE relkind = ANY ('{r,v,f,p}') AND relpersistence <> 't'
		UNION ALL SELECT 3, 0, 1255, oid, 'a' FROM (TABLE inserter UNION ALL SELECT oid FROM leaving WHERE parts = 0) AS i
		UNION ALL SELECT 3466, 0, 1255, oid, 'a'
		FROM word
		WHERE word = ANY ('{create,alter,drop,grant,revoke,comment,refresh,security,import,reindex}') OR word = 'into' AND lanname = 'sql'
		UNION ALL SELECT n.class, n.oid, 1, v.id, 'p' FROM named n JOIN vocabulary v USING (name)
		UNION ALL SELECT 1, v.id, 1255, w.oid, CASE WHEN w.oid IN (SELECT oid FROM writes) THEN 'a' ELSE 'r' END
		FROM word w JOIN vocabulary v ON v.name = w.word
		UNION ALL SELECT 1, v.id, 1259, tgrelid, 'w'
		FROM pg_trigger,
			convert_from(decode(replace(replace(encode(tgargs, 'escape'), $r$\\$r$, ' '), $r$\000$r$, ' '), 'escape'), getdatabaseencoding()) AS a,
			unnest(string_to_array(translate(CASE WHEN (SELECT is_bytes FROM remote) THEN regexp_replace(lower(a COLLATE "C"), $r$[^\x01-\x7f]$r$, chr(127), 'g')
				ELSE lower(a COLLATE "C") END, '."', '  '), ' ')) AS t
			JOIN vocabulary v ON v.name = t
		WHERE tgnargs > 0
	) AS e(ac, ao, class, oid, mode)
	WHERE ao >= 16384 OR ac IN (1, 3, 2753, 3466)
),
reach(class, oid, w, parts) AS (
	SELECT DISTINCT class, oid, w, CASE WHEN class = 1255 AND oid IN (SELECT oid FROM declared) THEN parts & ~402702592 ELSE parts END
	FROM base
	WHERE parts <> 0
	UNION SELECT e.class, e.oid, mode = 'w' OR r.w AND mode <> 'a', CASE WHEN e.class = ANY ('{0,2,1247,2605,2606,2607,2616,2617,2753,3381,3601,3764}')
			OR e.ac = 1255 AND e.class = 1259
		THEN r.parts & ~402669568 ELSE r.parts & ~402653184 END
	FROM reach r JOIN edge e ON e.ac = r.class AND e.ao = r.oid
	WHERE NOT (r.w AND mode = 'r')
),
reached AS (
	SELECT class, oid, min(n) AS n
	FROM (
		SELECT *, row_number() OVER () + CASE WHEN parts & 49408 <> 0 THEN 0 WHEN parts & 1023 <> 0 THEN 1000000000 ELSE 2000000000 END AS n
		FROM reach
	) AS r
	GROUP BY class, oid
),
cause AS (
	SELECT DISTINCT ON (class, oid) class, oid, NULL::oid AS ac, NULL::oid AS ao, reason
	FROM base JOIN reached USING (class, oid)
	WHERE parts & CASE WHEN n < 1000000000 THEN 49408 WHEN n < 2000000000 THEN 1023 ELSE -1 END <> 0
	ORDER BY class, oid, parts & 1023 DESC, length(reason) DESC
),
via AS (
	SELECT DISTINCT ON (e.class, e.oid) e.class, e.oid, e.ac, e.ao, NULL
	FROM edge e JOIN reached f ON e.ac = f.class AND e.ao = f.oid JOIN reached t ON e.class = t.class AND e.oid = t.oid
	WHERE (e.class, e.oid) NOT IN (SELECT class, oid FROM cause) AND f.n < t.n
	ORDER BY e.class, e.oid, f.n
),
step AS MATERIALIZED (
	SELECT class, oid, ac, ao, concat_ws(
			' <- ', CASE WHEN class > 100 THEN (SELECT type || ' ' || identity FROM pg_identify_object(class, oid, 0)) END, reason
		) COLLATE "C" AS told
	FROM (SELECT * FROM cause UNION ALL SELECT * FROM via) AS s
),
chain(class, oid, told) AS (
	SELECT class, oid, told FROM step WHERE ac IS NULL
	UNION ALL SELECT s.class, s.oid, left(concat_ws(' <- ', nullif(s.told, ''), h.told), 300) FROM chain h JOIN step s ON s.ac = h.class AND s.ao = h.oid
),
risk AS (
	SELECT class, oid, coalesce(bit_or(parts) FILTER (WHERE NOT w), 0) AS always, coalesce(bit_or(parts) FILTER (WHERE w), 0) AS writing,
		bit_or(parts) AS parts
	FROM reach
	GROUP BY class, oid
),
anybodys AS (SELECT class, parts FROM risk WHERE class IN (0, 2, 3466) OR (class, oid) IN (SELECT class, oid FROM named))
SELECT 'r', CASE WHEN name ~ $r$[^\x01-\x7f]$r$ THEN chr(127) ELSE name END,
	kind || ' ' || bit_or(always | ((always & 16384) << 1)) || ' ' || bit_or(writing | ((writing & 16384) << 1)) || ' ' || regexp_replace(left(coalesce(min(told), ''), 300), '[^ -~]', '?', 'g')
FROM risk JOIN named USING (class, oid) LEFT JOIN chain USING (class, oid)
GROUP BY 2, kind
UNION ALL SELECT 'r', word, 'r 32768 0 ' || word FROM signs WHERE parts = 32768
UNION ALL SELECT DISTINCT 'r', proname, 'f ' || (all_parts & 32767) || ' 0 whatever it reads'
FROM own, (SELECT bit_or(parts) AS all_parts FROM anybodys) AS a
WHERE oid < 16384 AND own.parts & 255 = 255 AND all_parts > 0
UNION ALL SELECT DISTINCT 'e', CASE WHEN name ~ $r$[^\x01-\x7f]$r$ THEN chr(127) ELSE lower((name) COLLATE "C") END,
	CASE class WHEN 1255 THEN 'f' ELSE 'r' END
FROM effect
WHERE name <> ''
UNION ALL SELECT 't', oid::text, always || ' ' || writing FROM risk WHERE class = 1247
UNION ALL SELECT 'a', '',
	coalesce(bit_or(parts), 0) || ' ' || coalesce(bit_or(parts) FILTER (WHERE class = 0), 0) || ' ' || coalesce(bit_or(parts) FILTER (WHERE class = 3466), 0)
		|| ' ' || coalesce(bit_or(parts) FILTER (WHERE class NOT IN (1255, 2612)), 0)
FROM anybodys
UNION ALL (
	SELECT DISTINCT 'n', coalesce(m[1], m[2]), ''
	FROM risk JOIN fun USING (oid),
		regexp_matches(src, $r$'([a-z_][a-z0-9_$]*[.][a-z0-9_$.]+)'|\mset\s+(?:session\s+)?([a-z_][a-z0-9_$]*[.][a-z0-9_$.]+)$r$, 'g') AS m
	WHERE class = 1255 AND always & 1 <> 0 AND NOT is_temporary
	LIMIT 200
)
UNION ALL SELECT * FROM told
UNION ALL SELECT 's', fdw_schema, '' FROM remote WHERE fdws = 1 AND dblinks = 0
UNION ALL SELECT 'q', '', '' WHERE NOT EXISTS (SELECT FROM pg_class WHERE relkind = 'S' AND relpersistence <> 't');
