-- src/seal/database_code_names.sql - what had a name when the code was read: whatever SQL calls besides is new.
--
-- Rows: 'k' and a name, in lower case. All that are not ASCII are one (risk_names.h).
/* pgweir */ SELECT DISTINCT 'k', CASE WHEN name ~ $r$[^\x01-\x7e]$r$ THEN chr(127) ELSE name END, ''
FROM (
	SELECT lower((proname) COLLATE "C") FROM pg_proc
	UNION SELECT lower((relname) COLLATE "C") FROM pg_class WHERE relkind = ANY ('{r,v,m,f,p,c,S}') AND relpersistence <> 't'
	UNION SELECT lower((typname) COLLATE "C") FROM pg_type WHERE typcategory <> 'A'
	UNION SELECT word FROM pg_get_keywords()
) AS n(name);
