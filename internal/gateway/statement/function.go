package statement

import "strings"

// grammar are words of the server's own behind which a bracket opens that is no call's.
var grammar = set(`and or not in any some all exists select where having on using values from join case when then else as
	over filter within group by partition order limit offset fetch union intersect except distinct array row lateral with
	returning set like ilike similar between is only into table conflict key rollup cube sets materialized window exclude
	insert update delete check references primary unique default generated include to for do nothing columns operator`)

// callable are those of them that are names of functions as well, where a value is expected.
var callable = set("by over filter within set is key exclude include nothing columns operator partition join")

// expects reports whether a value is what stands behind a token.
func expects(t token) bool {
	return t.kind == other && !t.mark(")") && !t.mark("]") || t.kind == word && opening[t.s]
}

var opening = set("select where and or not when then else having returning distinct all on by limit offset")

// harmless are functions of the server's own, and types with a size, that read what they are
// given and no more. Everything else is a call of which nothing is known.
var harmless = set(`count sum avg min max bool_and bool_or every string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg
	stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp regr_slope regr_intercept mode percentile_cont percentile_disc
	row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value grouping
	lower upper initcap length char_length character_length octet_length bit_length substr substring left right lpad rpad ltrim rtrim btrim trim
	replace translate reverse repeat split_part strpos position overlay concat concat_ws format md5 sha224 sha256 sha384 sha512 encode decode
	ascii chr quote_ident quote_literal quote_nullable to_char to_number to_date to_timestamp to_hex regexp_replace regexp_match regexp_matches
	regexp_split_to_array regexp_split_to_table regexp_count regexp_like regexp_substr regexp_instr starts_with string_to_array string_to_table
	array_to_string array_length array_lower array_upper array_dims array_ndims array_position array_positions array_append array_prepend array_cat
	array_remove array_replace array_fill cardinality unnest generate_series generate_subscripts
	coalesce nullif greatest least cast extract treat normalize collation xmlelement xmlforest xmlagg xmlparse xmlserialize xmlexists
	abs ceil ceiling floor round trunc mod div power sqrt cbrt exp ln log log10 sign degrees radians pi sin cos tan asin acos atan atan2 width_bucket
	factorial gcd lcm random gen_random_uuid uuidv7 uuidv4 num_nulls num_nonnulls
	now current_date current_time current_timestamp localtime localtimestamp clock_timestamp statement_timestamp transaction_timestamp timeofday
	age date_part date_trunc date_bin date_add date_subtract isfinite justify_days justify_hours justify_interval make_date make_time make_timestamp
	make_timestamptz make_interval timezone
	to_json to_jsonb row_to_json json_build_object jsonb_build_object json_build_array jsonb_build_array json_object jsonb_object json_array_length
	jsonb_array_length json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_each jsonb_each json_each_text
	jsonb_each_text json_object_keys jsonb_object_keys json_extract_path jsonb_extract_path json_extract_path_text jsonb_extract_path_text
	json_typeof jsonb_typeof json_strip_nulls jsonb_strip_nulls jsonb_set jsonb_insert jsonb_pretty jsonb_path_query jsonb_path_exists jsonb_path_match
	jsonb_path_query_array jsonb_path_query_first json_populate_record jsonb_populate_record json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset
	to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd ts_headline numnode
	lower_inc upper_inc isempty range_merge int4range int8range numrange tsrange tstzrange daterange host network masklen family text
	version current_database current_schema current_schemas current_user session_user inet_client_addr inet_server_addr pg_backend_pid pg_typeof
	pg_table_size pg_relation_size pg_total_relation_size pg_indexes_size pg_database_size pg_size_pretty pg_size_bytes pg_column_size
	pg_get_userbyid pg_get_expr pg_get_indexdef pg_get_constraintdef pg_get_viewdef pg_get_triggerdef pg_get_ruledef pg_get_functiondef
	pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result pg_get_partkeydef pg_get_statisticsobjdef pg_get_serial_sequence
	pg_get_partition_constraintdef pg_get_keywords pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_operator_is_visible
	pg_opclass_is_visible pg_collation_is_visible pg_ts_config_is_visible pg_encoding_to_char pg_tablespace_location format_type obj_description
	col_description shobj_description pg_describe_object pg_relation_is_publishable pg_is_in_recovery pg_postmaster_start_time pg_conf_load_time
	pg_my_temp_schema pg_is_other_temp_schema to_regclass to_regtype to_regproc to_regrole to_regnamespace current_setting pg_current_xact_id_if_assigned
	has_table_privilege has_schema_privilege has_column_privilege has_database_privilege has_function_privilege has_any_column_privilege pg_has_role
	pg_blocking_pids pg_lock_status pg_stat_get_activity pg_partition_tree pg_partition_root pg_inherits pg_sleep bernoulli
	varchar char character bpchar numeric decimal float bit time timestamp timestamptz interval national nchar varying precision`)

// special are functions of which more is known. They are taken for these in any schema.
var special = table(map[Classes]string{
	Write: "nextval setval lo_create lo_creat lo_put lo_from_bytea lo_unlink lowrite lo_truncate lo_truncate64 lo_open",
	Read:  "currval lastval lo_get loread lo_close lo_lseek lo_lseek64 lo_tell lo_tell64",
	Code: "query_to_xml query_to_xmlschema query_to_xml_and_xmlschema table_to_xml table_to_xmlschema table_to_xml_and_xmlschema " +
		"schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema " +
		"ts_stat ts_rewrite xpath_table crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby get_raw_page pg_dirtyread schedule schedule_in_database " +
		"alter_job add_job run_job replicate_ddl_command master_run_on_worker master_modify_multiple_shards",
	Server: "lo_import lo_export pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_promote pg_switch_wal pg_stat_file " +
		"pg_create_restore_point pg_read_file pg_read_binary_file pg_log_backend_memory_contexts pg_current_logfile pg_wal_replay_pause pg_wal_replay_resume",
	Session: "pg_notify",
})

// families are functions of which more is known by how their names begin.
var families = []struct {
	begins string
	class  Classes
}{
	{"dblink", Code | Server}, {"run_command_on_", Code | Server}, {"pg_background_", Code | Server}, {"pg_ls_", Server}, {"pg_file_", Server}, {"pg_backup_", Server}, {"pg_start_backup", Server}, {"pg_stop_backup", Server},
	{"pg_create_", Server}, {"pg_drop_", Server}, {"pg_copy_", Server}, {"pg_logical_", Server}, {"pg_replication_", Server},
	{"pg_stat_reset", Maintenance}, {"pg_advisory_", Session}, {"pg_try_advisory_", Session},
}

// function is what is known of the call whose name is token i, if it is one.
func function(ts []token, i int) Classes {
	name, at := ts[i].s, i
	for at > 1 && ts[at-1].mark(".") { // to where its qualified name begins
		at -= 2
	}
	var before token
	if at > 0 {
		before = ts[at-1]
	}
	qualified := at < i
	ours := at == i-2 && ts[at].name() && ts[at].s == "pg_catalog"
	switch {
	case before.is("into"), before.is("as"), before.mark("::"), before.is("with"), before.is("recursive"): // columns, or the size of a type
		return 0
	case !qualified && ts[i].kind == word && grammar[name] && (!callable[name] || !expects(before)):
		return 0
	}
	if name == "set_config" {
		return config(ts[i+1:])
	}
	if c, known := special[name]; known {
		return c
	}
	for _, f := range families {
		if strings.HasPrefix(name, f.begins) {
			return f.class
		}
	}
	if harmless[name] && (!qualified || ours) {
		return 0
	}
	return Call
}

// config is set_config('NAME', …): which setting it is has to stand there.
func config(args []token) Classes {
	if len(args) < 3 || args[1].kind != text || !args[2].mark(",") ||
		strings.EqualFold(args[1].s, "role") || strings.EqualFold(args[1].s, "session_authorization") {
		return Privilege
	}
	return Session
}
