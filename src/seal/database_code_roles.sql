-- src/seal/database_code_roles.sql - the versions of the settings that ALTER ROLE ... SET and ALTER DATABASE ... SET
-- give to sessions of this database, by role: see role_settings.h. This is a part of each question.
--
-- Rows: 'm' if the database is a template, or refuses new connections; 'd', the role's name in hexadecimal, because it
-- may have any bytes ('' for all roles), and the version of its settings.
SELECT /* pgweir */ 'd', encode(decode(replace(name::text, chr(92), chr(92) || chr(92)), 'escape'), 'hex'), version
FROM (
	SELECT CASE WHEN setrole <> 0 THEN pg_get_userbyid(setrole) ELSE '' END AS name,
		sum(hashint8((setdatabase::bigint << 32) + xmin::text::bigint))::text AS version
	FROM pg_db_role_setting
	WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
	GROUP BY setrole
	ORDER BY setrole
	LIMIT 10000
) AS s
UNION ALL SELECT 'm', '', '' FROM pg_database WHERE datname = current_database() AND (datistemplate OR NOT datallowconn);
