-- src/seal/database_code_names.sql - all names when the code was read: if SQL calls another name, that is new. Names in
-- pg_temp are left out, because no other session can use them.
--
-- Rows: 'k' and a name, in lower case. All names that are not ASCII are one (risk_names.h).
SELECT /* pgweir */ DISTINCT 'k', CASE WHEN name ~ $r$[^\x01-\x7f]$r$ THEN chr(127) ELSE name END, ''
FROM (
	SELECT lower((proname) COLLATE "C") FROM pg_proc WHERE pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp_')
	UNION SELECT lower((relname) COLLATE "C") FROM pg_class WHERE relkind = ANY ('{r,v,m,f,p,c,S}') AND relpersistence <> 't'
	UNION SELECT lower((typname) COLLATE "C")
	FROM pg_type
	WHERE typcategory <> 'A' AND typnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp_')
	UNION SELECT word FROM pg_get_keywords()
) AS n(name);
