package postgres

// The queries of a fingerprint. Each line is: kind, key, what, who can have made it,
// the statement that undoes it, the one that puts it back where its loss matters,
// and the object it is about where one can change without being new. They read
// catalogues only, and call nothing that a user could have defined.

// The kinds that are treated apart.
const (
	kindOwner = "owner"
	kindRole  = "role"
)

// ofOurs are the names that Stint makes on a cluster.
const ofOurs = `'^(stint_[a-z0-9_]{0,12}_[a-z0-9]{26}_[a-z0-9]{16}|stintmark_(group|enable|checkout)_[a-z0-9]{26}_[a-z0-9]{16}|stintquarantine_[a-z0-9]{26}_[a-z0-9]{16}|stint_claim(_proof)?)$'`

const rolesAndPowersSQL = `
SELECT r.oid, rolname,
  array_remove(ARRAY[CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolcreaterole THEN 'createrole' END, CASE WHEN rolreplication THEN 'replication' END], NULL),
  ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND g.rolname !~ ` + ofOurs + `)
FROM pg_roles r WHERE rolname !~ ` + ofOurs

const databasesSQL = `
SELECT d.datname, NOT d.datallowconn, pg_get_userbyid(d.datdba)::text,
  ARRAY(SELECT e.grantee FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) e WHERE e.privilege_type = 'CONNECT')
FROM pg_database d ORDER BY 1`

// clusterSQL reads what is common to all databases.
var clusterSQL = []string{
	`SELECT 'role', format('%s %s %s%s%s%s%s%s %s', oid, rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin, rolvaliduntil),
	  format('role %I', rolname), ARRAY[1], format('DROP ROLE %I', rolname), '', rolname::text
	FROM pg_roles WHERE oid >= 16384 AND rolname !~ ` + ofOurs,

	// Accounts of ours are members of what they were lent, and nobody else's business.
	`SELECT 'membership', format('%s in %s by %s %s', a.oid, g.oid, m.grantor, to_jsonb(m) - 'oid' - 'roleid' - 'member' - 'grantor'),
	  format('%I is in %I%s', a.rolname, g.rolname, CASE WHEN m.admin_option THEN ', and may let others in' ELSE '' END),
	  ARRAY[m.grantor], format('REVOKE %I FROM %I', g.rolname, a.rolname), '', ''
	FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles a ON a.oid = m.member
	WHERE a.rolname !~ ` + ofOurs + ` AND (g.rolname !~ ` + ofOurs + ` OR g.rolname ~ '^stintquarantine_')`,

	// Of a value no more than a hash is kept: it may be a secret.
	`SELECT 'setting', format('%s %s %s', s.setdatabase, s.setrole, md5(c)),
	  format('%s is set for %s%s', split_part(c, '=', 1), coalesce(quote_ident(r.rolname), 'everybody'), coalesce(' in ' || quote_ident(d.datname), '')),
	  CASE WHEN s.setrole = 0 THEN ARRAY[d.datdba] ELSE ARRAY[s.setrole, 1] END,
	  CASE WHEN s.setrole = 0 THEN format('ALTER DATABASE %I RESET %I', d.datname, split_part(c, '=', 1))
	    ELSE format('ALTER ROLE %I %sRESET %I', r.rolname, coalesce('IN DATABASE ' || quote_ident(d.datname) || ' ', ''), split_part(c, '=', 1)) END,
	  'set it again as it was',
	  format('%s %s %s', s.setdatabase, s.setrole, split_part(c, '=', 1))
	FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c
	WHERE (s.setrole = 0 AND d.oid IS NOT NULL) OR r.rolname !~ ` + ofOurs,

	`SELECT 'prepared transaction', format('%s %s', x.gid, x.prepared), format('prepared transaction %L in database %I', x.gid, x.database),
	  ARRAY(SELECT r.oid FROM pg_roles r WHERE r.rolname = x.owner), format('ROLLBACK PREPARED %L', x.gid), '', '' FROM pg_prepared_xacts x`,

	`SELECT 'replication slot', format('%s %s %s', slot_name, slot_type, database), format('replication slot %s', slot_name), ARRAY[2],
	  format('SELECT pg_drop_replication_slot(%L)', slot_name), '', '' FROM pg_replication_slots WHERE NOT temporary`,

	`SELECT 'subscription', format('%s %s %s %s %s', s.oid, s.subname, s.subowner, s.subenabled, s.subpublications), format('subscription %I in database %I', s.subname, d.datname),
	  ARRAY[s.subowner], format('DROP SUBSCRIPTION %I', s.subname), '', format('subscription %s', s.oid)
	FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid`,

	`SELECT 'database', format('%s %s %s %s %s', oid, datname, datdba, datallowconn, datistemplate), format('database %I of %I', datname, pg_get_userbyid(datdba)),
	  ARRAY[datdba], format('DROP DATABASE %I', datname), '', format('database %s', oid) FROM pg_database`,

	privilegesOf(`
	  SELECT 'DATABASE' label, quote_ident(datname) ident, oid, datdba owner, datacl acl, 'd' "default" FROM pg_database
	  UNION ALL SELECT 'TABLESPACE', quote_ident(spcname), oid, spcowner, spcacl, 't' FROM pg_tablespace
	  UNION ALL SELECT 'PARAMETER', parname, oid, 10, paracl, 'p' FROM pg_parameter_acl`),
}

// databaseSQL reads one database.
var databaseSQL = []string{
	// Who owns what. The bootstrap superuser's objects are not listed there, and
	// what has a kind of its own is left out.
	`SELECT 'owner', format('%s %s %s', i.type, i.identity, x.refobjid), format('%s %s belongs to %I', i.type, i.identity, pg_get_userbyid(x.refobjid)), ARRAY[x.refobjid],
	  CASE x.classid WHEN 'pg_largeobject'::regclass THEN format('SELECT lo_unlink(%s)', x.objid) ELSE format('DROP %s %s', upper(i.type), i.identity) END,
	  '', upper(i.type) || ' ' || i.identity
	FROM pg_shdepend x, pg_identify_object(x.classid, x.objid, x.objsubid) i
	WHERE x.deptype = 'o' AND x.refclassid = 'pg_authid'::regclass AND x.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
	  AND x.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass, 'pg_proc'::regclass, 'pg_event_trigger'::regclass, 'pg_publication'::regclass,
	    'pg_subscription'::regclass, 'pg_foreign_server'::regclass, 'pg_extension'::regclass, 'pg_language'::regclass)`,

	`SELECT 'function', format('%s %s %s', p.oid::regprocedure, p.proowner,
	    md5(concat_ws('|', p.prosecdef, p.prolang, p.prosrc, p.probin, p.proconfig, p.prosqlbody, p.proleakproof, p.prosupport::oid))),
	  format('%s%s %s of %I', CASE WHEN p.prosecdef THEN 'security definer ' ELSE '' END, CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
	    p.oid::regprocedure, pg_get_userbyid(p.proowner)),
	  ARRAY[p.proowner], format('DROP %s %s', CASE p.prokind WHEN 'a' THEN 'AGGREGATE' ELSE 'ROUTINE' END, p.oid::regprocedure), '', p.oid::regprocedure::text
	FROM pg_proc p WHERE p.oid >= 16384`,

	`SELECT CASE WHEN c.relkind IN ('v', 'm') AND w.rulename = '_RETURN' THEN 'view' ELSE 'rule' END,
	  format('%s %s %s %s %s', w.rulename, c.oid::regclass, c.relowner, w.ev_enabled, md5(w.ev_qual::text || w.ev_action::text)),
	  CASE WHEN c.relkind IN ('v', 'm') AND w.rulename = '_RETURN' THEN format('view %s of %I', c.oid::regclass, pg_get_userbyid(c.relowner)) ELSE format('rule %I on %s', w.rulename, c.oid::regclass) END,
	  ARRAY[c.relowner],
	  CASE WHEN w.rulename <> '_RETURN' THEN format('DROP RULE %I ON %s', w.rulename, c.oid::regclass) WHEN c.relkind = 'm' THEN format('DROP MATERIALIZED VIEW %s', c.oid::regclass) ELSE format('DROP VIEW %s', c.oid::regclass) END,
	  '', format('%s %s', w.rulename, c.oid::regclass)
	FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE c.oid >= 16384`,

	`SELECT 'trigger', format('%s %s %s %s %s', t.tgname, c.oid::regclass, t.tgenabled, t.tgfoid, md5(pg_get_triggerdef(t.oid))), format('trigger %I on %s', t.tgname, c.oid::regclass),
	  ARRAY[c.relowner] || ARRAY(SELECT e.grantee FROM aclexplode(c.relacl) e WHERE e.privilege_type = 'TRIGGER'),
	  format('DROP TRIGGER %I ON %s', t.tgname, c.oid::regclass),
	  format('%s; ALTER TABLE %s %s TRIGGER %I', pg_get_triggerdef(t.oid), c.oid::regclass, CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END, t.tgname),
	  format('%s %s', t.tgname, c.oid::regclass)
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal`,

	`SELECT 'event trigger', format('%s %s %s %s %s %s', evtname, evtevent, evtowner, evtfoid, evtenabled, evttags), format('event trigger %I of %I', evtname, pg_get_userbyid(evtowner)),
	  ARRAY[evtowner], format('DROP EVENT TRIGGER %I', evtname), format('CREATE EVENT TRIGGER %I ON %s EXECUTE FUNCTION %s()', evtname, evtevent, evtfoid::regproc), evtname::text
	FROM pg_event_trigger`,

	`SELECT 'policy', format('%s %s %s', p.polname, c.oid::regclass, md5(concat_ws('|', p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid), '|', pg_get_expr(p.polwithcheck, p.polrelid)))),
	  format('row security policy %I on %s', p.polname, c.oid::regclass), ARRAY[c.relowner], format('DROP POLICY %I ON %s', p.polname, c.oid::regclass),
	  format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, c.oid::regclass, CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
	    CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
	    (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r),
	    ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'),
	  format('%s %s', p.polname, c.oid::regclass)
	FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid`,

	`SELECT 'row security', format('%s %s', c.oid::regclass, c.relforcerowsecurity), format('row security on %s', c.oid::regclass), ARRAY[c.relowner],
	  format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', c.oid::regclass),
	  format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, %s ROW LEVEL SECURITY', c.oid::regclass, CASE WHEN c.relforcerowsecurity THEN 'FORCE' ELSE 'NO FORCE' END), c.oid::regclass::text
	FROM pg_class c WHERE c.relrowsecurity`,

	privilegesOf(`
	  SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END label, oid::regclass::text ident, oid, relowner owner, relacl acl, CASE relkind WHEN 'S' THEN 's' ELSE 'r' END "default"
	    FROM pg_class WHERE relacl IS NOT NULL AND relpersistence <> 't'
	  UNION ALL SELECT 'ROUTINE', oid::regprocedure::text, oid, proowner, proacl, 'f' FROM pg_proc WHERE proacl IS NOT NULL
	  UNION ALL SELECT 'SCHEMA', quote_ident(nspname), oid, nspowner, nspacl, 'n' FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
	  UNION ALL SELECT 'TYPE', oid::regtype::text, oid, typowner, typacl, 'T' FROM pg_type WHERE typacl IS NOT NULL
	  UNION ALL SELECT 'LANGUAGE', quote_ident(lanname), oid, lanowner, lanacl, 'l' FROM pg_language
	  UNION ALL SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname), oid, fdwowner, fdwacl, 'F' FROM pg_foreign_data_wrapper
	  UNION ALL SELECT 'FOREIGN SERVER', quote_ident(srvname), oid, srvowner, srvacl, 'S' FROM pg_foreign_server
	  UNION ALL SELECT 'LARGE OBJECT', oid::text, oid, lomowner, lomacl, 'L' FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL`),

	`SELECT 'privilege', format('%s (%s) on %s to %s by %s %s', e.privilege_type, a.attname, c.oid::regclass, e.grantee, e.grantor, e.is_grantable),
	  format('%s (%I) on table %s for %s', e.privilege_type, a.attname, c.oid::regclass, CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END),
	  ARRAY[e.grantor], format('REVOKE %s (%I) ON TABLE %s FROM %s', e.privilege_type, a.attname, c.oid::regclass, CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END), '', ''
	FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) e WHERE a.attacl IS NOT NULL AND e.grantee <> c.relowner AND c.oid >= 16384`,

	`SELECT 'default privilege', format('%s %s %s %s to %s %s', d.defaclrole, d.defaclnamespace, d.defaclobjtype, e.privilege_type, e.grantee, e.is_grantable),
	  format('%s on all %s that %I makes%s is for %s', e.privilege_type, k.word, pg_get_userbyid(d.defaclrole), coalesce(' in schema ' || quote_ident(n.nspname), ''), w.grantee),
	  ARRAY[d.defaclrole],
	  format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %sREVOKE %s ON %s FROM %s', pg_get_userbyid(d.defaclrole), coalesce('IN SCHEMA ' || quote_ident(n.nspname) || ' ', ''), e.privilege_type, upper(k.word), w.grantee), '', ''
	FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) e,
	  LATERAL (SELECT CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' ELSE 'schemas' END word) k,
	  LATERAL (SELECT CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END grantee) w
	WHERE e.grantee <> d.defaclrole AND NOT EXISTS (SELECT FROM aclexplode(acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole)) x
	  WHERE d.defaclnamespace = 0 AND x.grantee = e.grantee AND x.privilege_type = e.privilege_type AND x.is_grantable = e.is_grantable)`,

	`SELECT 'foreign server', format('%s %s %s', srvname, srvowner, md5(concat_ws('|', srvtype, srvversion, srvfdw, srvoptions))), format('foreign server %I of %I', srvname, pg_get_userbyid(srvowner)),
	  ARRAY[srvowner], format('DROP SERVER %I', srvname), '', srvname::text FROM pg_foreign_server`,

	// For PUBLIC only the server's owner can make one.
	`SELECT 'user mapping', format('%s %s %s', u.umid, u.srvname, u.umuser), format('user mapping for %s on server %I', w.who, u.srvname),
	  ARRAY[s.srvowner] || CASE WHEN u.umuser = 0 THEN '{}' ELSE ARRAY[u.umuser] END, format('DROP USER MAPPING FOR %s SERVER %I', w.who, u.srvname), '', ''
	FROM pg_user_mappings u JOIN pg_foreign_server s ON s.oid = u.srvid, LATERAL (SELECT CASE u.umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u.umuser)) END who) w`,

	`SELECT 'publication', format('%s %s %s', p.pubname, p.pubowner, md5(concat_ws('|', to_jsonb(p), (SELECT string_agg(r.prrelid::regclass::text, ',' ORDER BY r.prrelid) FROM pg_publication_rel r WHERE r.prpubid = p.oid)))),
	  format('publication %I of %I', p.pubname, pg_get_userbyid(p.pubowner)), ARRAY[p.pubowner], format('DROP PUBLICATION %I', p.pubname), '', p.pubname::text FROM pg_publication p`,

	`SELECT 'extension', format('%s %s %s', extname, extversion, extowner), format('extension %I %s', extname, extversion), ARRAY[extowner], format('DROP EXTENSION %I', extname), '', extname::text FROM pg_extension`,

	`SELECT 'language', format('%s %s %s %s', lanname, lanowner, lanpltrusted, lanplcallfoid), format('language %I of %I', lanname, pg_get_userbyid(lanowner)), ARRAY[lanowner], format('DROP LANGUAGE %I', lanname), '', lanname::text
	FROM pg_language WHERE oid >= 16384`,

	// A cast has no owner: it takes the owner of one of its types.
	`SELECT 'cast', format('%s %s %s %s %s', c.castsource::regtype, c.casttarget::regtype, c.castfunc, c.castcontext, c.castmethod), format('cast from %s to %s', c.castsource::regtype, c.casttarget::regtype),
	  ARRAY[s.typowner, t.typowner], format('DROP CAST (%s AS %s)', c.castsource::regtype, c.casttarget::regtype), '', ''
	FROM pg_cast c JOIN pg_type s ON s.oid = c.castsource JOIN pg_type t ON t.oid = c.casttarget WHERE c.oid >= 16384`,

	// Functions that others call without knowing: in defaults, constraints and indexes.
	`SELECT 'expression', format('%s %s %s', i.type, i.identity, p.oid), format('%s %s calls %s', i.type, i.identity, p.oid::regprocedure),
	  ARRAY[p.proowner] || ARRAY(SELECT c.relowner FROM pg_class c WHERE c.oid IN (
	    SELECT adrelid FROM pg_attrdef WHERE oid = d.objid AND d.classid = 'pg_attrdef'::regclass UNION ALL
	    SELECT conrelid FROM pg_constraint WHERE oid = d.objid AND d.classid = 'pg_constraint'::regclass UNION ALL
	    SELECT indrelid FROM pg_index WHERE indexrelid = d.objid AND d.classid = 'pg_class'::regclass)),
	  'make it without that function', '', ''
	FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid, pg_identify_object(d.classid, d.objid, d.objsubid) i
	WHERE d.refclassid = 'pg_proc'::regclass AND p.oid >= 16384 AND d.deptype = 'n' AND d.classid IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_class'::regclass)`,
}

// privilegesOf lists what access control lists grant beyond what every object of
// the kind starts with, which is for its owner and PUBLIC. What the bootstrap superuser granted on the system's own
// objects is left out, but for schemas and databases.
func privilegesOf(objects string) string {
	return `SELECT 'privilege', format('%s on %s %s to %s by %s %s', e.privilege_type, o.label, o.ident, e.grantee, e.grantor, e.is_grantable),
	  format('%s on %s %s for %s%s', e.privilege_type, lower(o.label), o.ident, w.grantee, CASE WHEN e.is_grantable THEN ', to pass on' ELSE '' END),
	  ARRAY[e.grantor], format('REVOKE %s ON %s %s FROM %s', e.privilege_type, o.label, o.ident, w.grantee), '', ''
	FROM (` + objects + `) o, aclexplode(o.acl) e, LATERAL (SELECT CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END grantee) w
	WHERE e.grantee <> o.owner AND (o.oid >= 16384 OR e.grantor <> 10 OR o.label IN ('SCHEMA', 'DATABASE'))
	  AND (e.grantee <> 0 OR NOT EXISTS (SELECT FROM aclexplode(acldefault(o."default"::"char", o.owner)) x WHERE x.grantee = 0 AND x.privilege_type = e.privilege_type AND x.is_grantable = e.is_grantable))`
}

// schedulers are the extensions that run statements later.
var schedulers = []struct{ extension, schema, table, sql string }{
	{"pg_cron", "cron", "job", `SELECT 'scheduled job', format('%s %s %s %s %s', jobid, username, database, schedule, md5(command)), format('job %s of pg_cron, as %I in database %I', jobid, username, database),
	  ARRAY(SELECT oid FROM pg_roles WHERE rolname = username), format('SELECT cron.unschedule(%s)', jobid), '', jobid::text FROM cron.job`},
	{"pgagent", "pgagent", "pga_jobstep", `SELECT 'scheduled job', format('%s %s %s', jstid, jstjobid, md5(concat_ws('|', jstcode, jstdbname, jstconnstr, jstenabled))), format('step %s of job %s of pgAgent', jstid, jstjobid),
	  ARRAY[c.relowner] || ARRAY(SELECT e.grantee FROM aclexplode(c.relacl) e WHERE e.privilege_type IN ('INSERT', 'UPDATE')), format('DELETE FROM pgagent.pga_jobstep WHERE jstid = %s', jstid), '', jstid::text
	FROM pgagent.pga_jobstep, pg_class c WHERE c.oid = 'pgagent.pga_jobstep'::regclass`},
}

// schedulerSQL: whether the table is the extension's own, and who may use it.
const schedulerSQL = `
SELECT EXISTS (SELECT FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
    JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE e.extname = $1 AND n.nspname = $2 AND c.relname = $3),
  ARRAY(SELECT e.grantee FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) e WHERE n.nspname = $2 AND e.privilege_type = 'USAGE')`
