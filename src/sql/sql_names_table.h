/* src/sql/sql_names_table.h - made by scripts/sql-names; see sql_words.c. Always: the names of a length are in order.
 */
/* clang-format off */
NAMES(2,
	"ras kat kby rdo kif rin tis fln kno kof ron ror fpi rto")
NAMES(3,
	"fabs kadd fage rall rand rany rasc favg Rbit fbox fchr fcos fcot kcsv kday rdec fdiv rend ferf fexp rfor fgcd rint "
	"kkey flag flcm flog klsn fmax fmd5 fmin fmod knew knfc knfd rnot fnow koff foid kold rout fpow kref rrow kset fsin "
	"ksql fsum ftan fxid Kxml kyes")
NAMES(4,
	"facos kalso farea fasin fatan fbool rboth kcall rcase rcast fcbrt fceil Rchar fcidr kcopy fcorr fcosd fcosh kcost "
	"fcotd kcube kdata fdate rdesc fdexp kdrop keach relse kenum ferfc rfrom tfull fhmac khold fhost khour fint2 fint4 "
	"fint8 rinto tjoin rjson kkeep kkeys klast flead Tleft Tlike fline kload klock flpad flseg Kmode kmove Kname knext "
	"knfkc knfkd rnone rnull foid8 koids komit ronly kover Kpath kplan frank kread rreal krole krows frpad krule ksets "
	"kshow fsign fsind fsinh kskip rsome fsqrt ftand ftanh ktemp Ktext rthen kties Rtime rtrim rtrue ktype ruser fuuid "
	"kview kwait rwhen rwith kwork kyear kzone")
NAMES(5,
	"kabort facosd facosh kadmin kafter kalter farmor rarray fascii fasind fasinh fatan2 fatand fatanh kbegin fbtrim "
	"fbytea kcache kchain rcheck kclass kclose fcount fcrc32 tcross fcrypt kcycle kdepth fdlog1 kempty kerror kevent "
	"fevery rfalse rfetch kfirst rfloat ffloor kforce fgamma rgrant rgroup tilike kindex tinner rinout kinput klabel "
	"klarge rleast klevel rlimit klocal flog10 flower fltrim kmatch kmerge fmoney kmonth knames rnchar fntile knulls "
	"rorder touter kowned kowner kplans fpoint fpopen fpower kprior kquote krange kreset Tright fround frtrim fscale "
	"rsetof kshare fslope kstart kstdin Kstrip ksysid rtable rtreat ftrunc ktypes runion kuntil fupper rusing kvalid "
	"kvalue kviews rwhere fwidth kwrite rxmlpi fxpath")
NAMES(6,
	"fabbrev kabsent kaccess kaction kalways fatan2d katomic kattach kbefore rbigint tbinary fbit_or fbitcmp fbpchar "
	"kcalled fcenter fcircle rcolumn kcommit fconcat fcrc32c rcreate kcursor fdecode kdelete kdetach fdigest fdlog10 "
	"kdomain kdouble fdround fdtrunc kenable fencode kescape rexcept rexists Kfamily kfilter ffloat4 ffloat8 Kformat "
	"tfreeze kglobal kgroups rhaving kheader fheight fhstore kignore kimport kindent kinline kinsert tisnull fisopen "
	"fisperp flength flgamma klisten flo_get flo_put klocked klogged floread kmethod kminute knested fnlevel knotify "
	"knowait rnullif kobject roffset koption kothers kparser fpclose kperiod fpg_lsn kpolicy kquotes fradius frandom "
	"krename krepack frepeat kreturn krevoke krollup kscalar kschema kscroll ksearch ksecond rselect kserver Qsetval "
	"fsha224 fsha256 fsha384 fsha512 ksimple ksource kstable fstddev kstdout kstored kstrict kstring fstrpos fsubstr "
	"ksystem ktables ktarget ftimetz fto_bin fto_hex fto_oct runique funistr funnest kupdate fuuidv4 fuuidv7 kvacuum "
	"rvalues fvarbit rwindow kwithin fxmlagg")
NAMES(7,
	"ranalyse ranalyze rbetween fbit_and fbit_xor fbool_or rboolean kbreadth kcascade kcatalog fceiling kcluster "
	"rcollate kcolumns kcomment kcontent fconvert kcurrent qcurrval fdearmor rdecimal kdeclare fdecrypt rdefault "
	"kdefiner fdegrees kdepends kdisable kdiscard fencrypt kexclude kexecute kexplain Rextract rforeign kforward "
	"fget_bit kgranted khandler fhashcid fhashoid fhashtid fhashxid kinclude kindexes kinherit finitcap kinstead "
	"fint4inc fint8dec fint8inc rinteger kinvoker fisempty qlastval rlateral rleading flo_open flo_tell flowrite "
	"fmacaddr kmapping fmasklen kmatched tnatural fnetmask fnetwork Qnextval knothing fnotlike tnotnull fnpoints "
	"Rnumeric fnumnode kobjects koptions Roverlay kpartial kpassing rplacing fpolygon kprepare rprimary kprogram "
	"fradians krecheck krefresh fregr_r2 kreindex krelease Kreplace kreplica krespect krestart kreturns freverse "
	"kroutine kschemas ksession fset_bit tsimilar fsoundex kstorage ksupport ftextlen fto_char fto_date fto_json "
	"ktrigger ktrusted fts_rank ftsrange kuescape kunknown fvar_pop Rvarchar kvarying tverbose Kversion kvirtual "
	"kwithout kwrapper fxid8cmp rxmlroot fxmltext")
NAMES(8,
	"kabsolute kbackward fbool_and fbtoidcmp fbttidcmp fbyteacmp kcascaded fcasefold fcash_cmp rcoalesce kcomments "
	"kconflict kcontinue fcurrtid2 kdatabase fdate_add fdate_bin fdate_cmp kdefaults kdeferred fdiagonal fdiameter "
	"rdistinct kdocument kencoding kenforced fenum_cmp kexternal kfinalize kfunction fgen_salt fget_byte rgreatest "
	"rgrouping fhashbool fhashchar fhashdate fhashenum fhashinet fhashint2 fhashint4 fhashint8 fhashname fhashoid8 "
	"fhashtext fhashxid8 fhostmask kidentity kimplicit fin_range kinherits fint2_sum fint4_sum fint8_avg fint8_sum "
	"Rinterval fisclosed fisfinite fjson_agg klanguage flo_close flo_creat flo_lseek klocation fmacaddr8 kmaxvalue "
	"kminvalue fmxid_age rnational fnumrange koperator Toverlaps kparallel kpassword fpg_sleep Rposition kprepared "
	"kpreserve kreassign fregclass fregr_sxx fregr_sxy fregr_syy krelative krestrict krollback kroutines ksecurity "
	"ksequence fset_byte rsmallint ksnapshot fsubltree ktemplate ftime_cmp ftimezone fto_ascii fto_jsonb rtrailing "
	"ktruncate fts_debug fts_parse funaccent kunlisten kunlogged fuuid_cmp fuuid_nil kvalidate fvar_samp rvariadic "
	"fvariance kvolatile rxmlparse rxmltable")
NAMES(9,
	"faclinsert faclremove kaggregate fany_value farray_agg kassertion kattribute fbit_count fbound_box fbpcharcmp "
	"fbroadcast fbtboolcmp fbtcharcmp fbtint2cmp fbtint4cmp fbtint8cmp fbtnamecmp fbtoid8cmp fbttextcmp rcharacter "
	"tcollation kcommitted fconcat_ws fcovar_pop fcume_dist fdate_part fdaterange kdelimiter fearth_box kencrypted "
	"fenum_last kexcluding kexclusive kextension ffactorial kfollowing kfunctions kgenerated fhashbytea kimmediate "
	"kimmutable kincluding kincrement rinitially fint4range fint8range rintersect kisolation fjson_each fjsonb_agg "
	"fjsonb_cmp fjsonb_set kleakproof flo_create flo_export flo_import flo_tell64 flo_unlink rlocaltime flower_inc "
	"flower_inf fmake_date fmake_time fmetaphone fmin_scale Rnormalize fnth_value fnum_nulls foidlarger kparameter "
	"kpartition fpg_config fpg_cursor fpg_ls_dir fpg_notify fpg_typeof kpreceding rprecision kprocedure fquerytree "
	"frange_agg frange_cmp krecursive fregr_avgx fregr_avgy rreturning ksavepoint ksequences fsetweight fshow_trgm "
	"kstatement Rsubstring rsymmetric ktemporary ftid_block ftidlarger ftime_hash ftimeofday Rtimestamp fto_number "
	"ktransform ftranslate fts_delete fts_filter fts_lexize ftstzrange kunbounded fupper_inc fupper_inf fuuid_hash "
	"kvalidator fvarbitcmp rxmlconcat Rxmlexists rxmlforest")
NAMES(10,
	"facldefault faclexplode famvalidate farray_dims farray_fill farray_sort kasensitive kassignment rasymmetric "
	"fbit_length fbtarraycmp fbtint24cmp fbtint28cmp fbtint42cmp fbtint48cmp fbtint82cmp fbtint84cmp fcash_words "
	"fcashlarger kcheckpoint kconnection rconstraint kconversion fconvert_to fcovar_samp fdate_trunc kdeallocate "
	"fdecrypt_iv rdeferrable kdelimiters fdense_rank kdictionary fdmetaphone fencrypt_iv fenum_first fenum_range "
	"kexpression ffloat8_avg fhash_array fhash_range fhashbpchar fhashfloat4 fhashfloat8 finet_merge fint2larger "
	"fint4larger fint8larger fisparallel fisvertical rjson_array rjson_query rjson_table rjson_value fjsonb_each "
	"fjsonb_hash flast_value flo_lseek64 fmultirange knormalized fnumeric_ln foid8larger foidsmaller kordinality "
	"koverriding fpg_get_acl fpg_lsn_cmp fpg_nextoid fpg_promote kprivileges kprocedural kprocedures rreferences "
	"fregr_count fregr_slope krepeatable frow_number sset_config fshow_limit fsimilarity fsplit_part kstandalone "
	"kstatistics fstddev_pop fstring_agg ktablespace ftid_offset ftidsmaller ftimetz_cmp fto_regoper fto_regproc "
	"fto_regrole fto_regtype fto_tsquery ftrim_array ftrim_scale fts_rank_cd kwhitespace fxmlcomment fxmlconcat2 "
	"rxmlelement")
NAMES(11,
	"faclcontains farray_lower farray_ndims farray_upper fbtfloat4cmp fbtfloat8cmp fbtrecordcmp fcardinality "
	"fcashsmaller fchar_length kcompression kconditional kconstraints fdate_larger fenum_larger ffirst_value "
	"ffloat8_corr fformat_type fhash_record fhashmacaddr kinsensitive fint2smaller fint4smaller fint8dec_any "
	"fint8inc_any fint8smaller rjson_exists Rjson_object rjson_scalar fjson_typeof flevenshtein flike_escape "
	"fll_to_earth flo_truncate fmacaddr_cmp fmakeaclitem fnetwork_cmp fnumeric_cmp fnumeric_exp fnumeric_inc "
	"fnumeric_log foid8smaller fparse_ident fpg_basetype fpg_get_aios fpg_get_expr fpg_has_role fpg_lsn_hash "
	"kpublication fquote_ident frange_merge kreferencing fregexp_like frow_to_json fset_masklen fstddev_samp "
	"Rsystem_user ttablesample ftext_larger ftime_larger ftimestamptz ftimetz_hash fto_regclass fto_tsvector "
	"ktransaction fts_headline ftsquery_cmp ftxid_status kuncommitted kunencrypted fuuid_ns_dns fuuid_ns_oid "
	"fuuid_ns_url fxid8_larger fxmlvalidate")
NAMES(12,
	"farray_append farray_larger farray_length farray_remove farray_sample fbtequalimage fbtfloat48cmp fbtfloat84cmp "
	"fbytea_larger tconcurrently fconvert_from rcurrent_date rcurrent_role rcurrent_time Rcurrent_user fdate_smaller "
	"fenum_smaller ffloat4_accum ffloat4larger ffloat8_accum ffloat8larger fhash_aclitem fhash_numeric fhashmacaddr8 "
	"fint2int4_sum finterval_avg finterval_cmp fishorizontal fjsonb_insert fjsonb_object fjsonb_pretty fjsonb_typeof "
	"fjustify_days fmacaddr8_cmp kmaterialized rmerge_action fnum_nonnulls fnumeric_sqrt foctet_length fpercent_rank "
	"fpg_ls_logdir fpg_ls_tmpdir fpg_ls_waldir fpg_read_file fpg_sleep_for fpg_stat_file fregexp_count fregexp_instr "
	"fregexp_match kserializable Rsession_user ksubscription ftable_to_xml ftext_smaller ftime_smaller fto_timestamp "
	"ftsmultirange ftsvector_cmp ftxid_current fuuid_ns_x500 fwidth_bucket fxid8_smaller rxmlserialize fxpath_exists")
NAMES(13,
	"farray_prepend farray_replace farray_reverse farray_shuffle farray_smaller farray_to_json tauthorization "
	"fbpchar_larger fbtnametextcmp fbttextnamecmp fbytea_smaller kconfiguration fcurrent_query fdate_subtract "
	"ferror_on_null ffloat4smaller ffloat8smaller fgetpgusername fhashoidvector finterval_hash fis_normalized "
	"rjson_arrayagg fjsonb_set_lax fjustify_hours flo_from_bytea flo_truncate64 fmake_interval fnameconcatoid "
	"fnummultirange fpg_lsn_larger fpg_size_bytes fpg_stat_reset fpg_switch_wal fpg_table_size fquote_literal "
	"frandom_normal frecord_larger fregexp_substr fschema_to_xml ftimestamp_cmp ftimetz_larger fto_regtypemod "
	"fts_token_type kunconditional rxmlattributes rxmlnamespaces")
NAMES(14,
	"farray_position fbpchar_smaller fbtoidvectorcmp Tcurrent_schema fdatemultirange fdmetaphone_alt fearth_distance "
	"ffloat8_combine ffloat8_regr_r2 ffloat8_var_pop fhstore_to_json fint2_avg_accum fint4_avg_accum fint4multirange "
	"fint8multirange finterval_accum fjson_each_text rjson_objectagg rjson_serialize fjson_to_record rlocaltimestamp "
	"fmake_timestamp fmultirange_cmp fnetwork_larger fnumeric_larger foidvectortypes fpg_backend_pid fpg_backup_stop "
	"fpg_column_size fpg_get_ruledef fpg_get_viewdef fpg_lock_status fpg_lsn_smaller fpg_reload_conf fpg_size_pretty "
	"fpg_sleep_until fpg_stat_get_io fpg_xact_status fquote_nullable frecord_smaller fregexp_matches fregexp_replace "
	"fregr_intercept fsimilar_escape ftimestamp_hash ftimetz_smaller fto_regdatabase fto_regoperator ftsquery_phrase "
	"ftstzmultirange")
NAMES(15,
	"farray_positions farray_to_string kcharacteristics fclock_timestamp fcol_description rcurrent_catalog "
	"fcurrent_schemas fcurrent_setting fdatabase_to_xml ffloat8_regr_sxx ffloat8_regr_sxy ffloat8_regr_syy "
	"ffloat8_var_samp fgen_random_uuid fgenerate_series fhash_multirange fhashcidextended fhashoidextended "
	"fhashtidextended fhashxidextended fhstore_to_array fhstore_to_jsonb finterval_larger fjson_agg_strict "
	"fjson_object_agg fjsonb_each_text fjsonb_to_record fnetwork_smaller fnumeric_smaller fobj_description "
	"fpercentile_cont fpercentile_disc fpg_control_init fpg_get_indexdef fpg_get_keywords fpg_get_userbyid "
	"fpg_indexes_size fpg_snapshot_xip fpg_stat_get_wal fpg_wal_lsn_diff fpg_walfile_name fpgp_pub_decrypt "
	"fpgp_pub_encrypt fpgp_sym_decrypt fpgp_sym_encrypt fplainto_tsquery fstring_to_array fstring_to_table "
	"ftimestamptz_cmp fto_regcollation fto_regnamespace fto_regprocedure ftsrange_subdiff funicode_version "
	"fword_similarity")
NAMES(16,
	"fboolor_statefunc fbtrecordimagecmp fcharacter_length fcurrent_database ffloat8_covar_pop ffloat8_regr_avgx "
	"ffloat8_regr_avgy ffmgr_c_validator fgen_random_bytes fgin_cmp_tslexeme fhashboolextended fhashcharextended "
	"fhashdateextended fhashenumextended fhashinetextended fhashint2extended fhashint4extended fhashint8extended "
	"fhashnameextended fhashoid8extended fhashtextextended fhashxid8extended fhstore_to_matrix finet_client_addr "
	"finet_client_port finet_same_family finet_server_addr finet_server_port fint4_avg_combine finterval_combine "
	"finterval_smaller fjson_build_array fjson_object_keys fjson_strip_nulls fjson_to_tsvector fjsonb_agg_strict "
	"fjsonb_object_agg fjsonb_path_match fjsonb_path_query fjustify_interval fmacaddr8_set7bit fmake_timestamptz "
	"fnumrange_subdiff lpg_advisory_lock fpg_blocking_pids fpg_collation_for fpg_database_size fpg_jit_available "
	"fpg_prepared_xact fpg_read_file_old fpg_relation_size fpg_snapshot_xmax fpg_snapshot_xmin fpg_stat_get_lock "
	"fpg_stat_get_slru fpg_trigger_depth fphraseto_tsquery ftimestamp_larger ftimestamptz_hash funicode_assigned "
	"fuuid_generate_v1 fuuid_generate_v3 fuuid_generate_v4 fuuid_generate_v5")
NAMES(17,
	"fany_value_transfn farray_to_tsvector fbooland_statefunc rcurrent_timestamp fdaterange_subdiff ffloat8_covar_samp "
	"ffloat8_regr_accum ffloat8_regr_slope ffloat8_stddev_pop fgin_compare_jsonb fhashbyteaextended fint4range_subdiff "
	"fint8range_subdiff fjson_array_length fjson_build_object fjson_extract_path fjson_to_recordset fjsonb_build_array "
	"fjsonb_object_keys fjsonb_path_exists fjsonb_strip_nulls fjsonb_to_tsvector fnumeric_div_trunc fpg_cancel_backend "
	"fpg_conf_load_time fpg_control_system fpg_get_partkeydef fpg_get_triggerdef fpg_hba_file_rules fpg_input_is_valid "
	"fpg_is_in_recovery fpg_ls_replslotdir fpg_mcv_list_items fpg_my_temp_schema fpg_numa_available fpg_partition_root "
	"fpg_partition_tree fpg_rotate_logfile fpg_timezone_names fplpgsql_validator frange_minus_multi fshobj_description "
	"fsimilar_to_escape ftimestamp_smaller ftstzrange_subdiff ftsvector_to_array ftxid_snapshot_xip")
NAMES(18,
	"fbttext_pattern_cmp fbtvarstrequalimage fdate_cmp_timestamp ffloat8_stddev_samp ffmgr_sql_validator "
	"fhas_type_privilege fhashbpcharextended fhashfloat4extended fhashfloat8extended fint2_avg_accum_inv "
	"fint4_avg_accum_inv finterval_accum_inv fjsonb_array_length fjsonb_build_object fjsonb_extract_path "
	"fjsonb_to_recordset upg_advisory_unlock fpg_client_encoding fpg_current_logfile fpg_current_wal_lsn "
	"fpg_current_xact_id fpg_describe_object fpg_export_snapshot fpg_get_functiondef fpg_get_wait_events "
	"fpg_identify_object fpg_ls_summariesdir fpg_stat_have_stats fpg_stat_reset_slru fpg_tablespace_size "
	"fpg_type_is_visible ftable_to_xmlschema ftime_hash_extended ftimestamp_cmp_date ftimestamptz_larger "
	"ftxid_snapshot_xmax ftxid_snapshot_xmin fuuid_generate_v1mc fuuid_hash_extended fxml_is_well_formed")
NAMES(19,
	"fdaterange_canonical ffloat8_regr_combine fgenerate_subscripts fgetdatabaseencoding fhas_table_privilege "
	"fhash_array_extended fhash_range_extended fhashmacaddrextended ficu_unicode_version fint4range_canonical "
	"fint8range_canonical fjson_array_elements fjsonb_hash_extended fjsonb_path_match_tz fjsonb_path_query_tz "
	"fpg_char_to_encoding fpg_control_recovery fpg_current_snapshot fpg_encoding_to_char fpg_input_error_info "
	"fpg_ls_logicalmapdir fpg_options_to_table fpg_read_binary_file fpg_table_is_visible fpg_timezone_abbrevs "
	"fpg_wal_replay_pause frange_intersect_agg frow_security_active fschema_to_xmlschema fstatement_timestamp "
	"ftimestamptz_smaller")
NAMES(20,
	"fbrin_summarize_range fbtbpchar_pattern_cmp fdate_cmp_timestamptz fhas_column_privilege fhas_schema_privilege "
	"fhas_server_privilege fhash_record_extended fhashmacaddr8extended fhstore_to_json_loose fjson_populate_record "
	"fjsonb_array_elements fjsonb_path_exists_tz fpg_filenode_relation fpg_get_constraintdef fpg_get_sequence_data "
	"fpg_ls_logicalsnapdir fpg_lsn_hash_extended fpg_relation_filenode fpg_relation_filepath fpg_show_all_settings "
	"fpg_stat_get_activity fpg_stat_get_archiver fpg_stat_get_lastscan fpg_stat_get_numscans fpg_stat_get_recovery "
	"fpg_stat_reset_shared fpg_terminate_backend lpg_try_advisory_lock fpg_wal_replay_resume ftimestamptz_cmp_date "
	"ftimetz_hash_extended fuuid_extract_version fwebsearch_to_tsquery")
NAMES(21,
	"fdatabase_to_xmlschema ffloat8_regr_intercept fget_current_ts_config fhash_aclitem_extended fhash_numeric_extended "
	"fhashoidvectorextended fhstore_to_jsonb_loose fint8inc_float8_float8 fjsonb_populate_record fpg_advisory_xact_lock "
	"fpg_column_compression fpg_control_checkpoint fpg_get_loaded_modules fpg_get_object_address fpg_index_has_property "
	"fpg_listening_channels fpg_opclass_is_visible fpg_prepared_statement fpg_rotate_logfile_old fpg_settings_get_flags "
	"fpg_split_walfile_name fpg_stat_get_buf_alloc fpg_ts_dict_is_visible fpgp_pub_decrypt_bytea fpgp_pub_encrypt_bytea "
	"fpgp_sym_decrypt_bytea fpgp_sym_encrypt_bytea fregexp_split_to_array fregexp_split_to_table ftransaction_timestamp "
	"ftxid_current_snapshot")
NAMES(22,
	"fbrin_desummarize_range fgin_clean_pending_list fhas_database_privilege fhas_function_privilege "
	"fhas_language_privilege fhas_sequence_privilege finterval_hash_extended fjson_extract_path_text "
	"fjson_object_agg_strict fjson_object_agg_unique fjsonb_path_query_array fjsonb_path_query_first "
	"flevenshtein_less_equal fmultirange_minus_multi upg_advisory_unlock_all fpg_column_is_updatable "
	"fpg_encoding_max_length fpg_function_is_visible fpg_get_function_result fpg_get_multixact_stats "
	"fpg_get_serial_sequence fpg_ident_file_mappings fpg_last_committed_xact fpg_last_wal_replay_lsn "
	"fpg_operator_is_visible fpg_opfamily_is_visible fpg_partition_ancestors fpg_sequence_last_value "
	"fpg_sequence_parameters fpg_stat_clear_snapshot fpg_stat_get_backend_io fpg_stat_get_blocks_hit "
	"fpg_tablespace_location fpg_total_relation_size fpg_visible_in_snapshot fpg_walfile_name_offset "
	"fspg_poly_quad_compress fstrict_word_similarity fuuid_extract_timestamp")
NAMES(23,
	"ffmgr_internal_validator fhas_parameter_privilege fjson_populate_recordset fjsonb_extract_path_text "
	"fjsonb_object_agg_strict fjsonb_object_agg_unique lpg_advisory_lock_shared fpg_available_extensions "
	"fpg_clear_extended_stats fpg_clear_relation_stats fpg_collation_is_visible fpg_create_restore_point "
	"fpg_get_function_sqlbody fpg_get_statisticsobjdef fpg_indexam_has_property fpg_is_other_temp_schema "
	"fpg_is_wal_replay_paused fpg_last_wal_receive_lsn fpg_log_standby_snapshot fpg_logical_emit_message "
	"fpg_ls_archive_statusdir fpg_stat_get_backend_pid fpg_stat_get_backend_wal fpg_stat_get_db_sessions "
	"fpg_stat_get_dead_tuples fpg_stat_get_live_tuples fpg_stat_get_wal_senders fpg_tablespace_databases "
	"fpg_ts_config_is_visible fpg_ts_parser_is_visible fpg_wal_summary_contents ftimestamp_hash_extended")
NAMES(24,
	"fhas_any_column_privilege fhas_tablespace_privilege fhash_multirange_extended fjson_array_elements_text "
	"fjsonb_populate_recordset fpg_clear_attribute_stats fpg_column_toast_chunk_id fpg_conversion_is_visible "
	"fpg_current_wal_flush_lsn fpg_drop_replication_slot fpg_extension_config_dump fpg_get_multixact_members "
	"fpg_get_replication_slots fpg_get_shmem_allocations fpg_postmaster_start_time fpg_relation_is_updatable "
	"fpg_stat_force_next_flush fpg_stat_get_backend_dbid fpg_stat_get_db_deadlocks fpg_stat_get_subscription "
	"fpg_stat_get_vacuum_count fpg_stat_get_wal_receiver fpg_timezone_abbrevs_zone fpg_xact_commit_timestamp "
	"fpostgresql_fdw_validator fsatisfies_hash_partition ftxid_current_if_assigned ftxid_visible_in_snapshot")
NAMES(25,
	"fbrin_summarize_new_values fhas_largeobject_privilege fjsonb_array_elements_text fjsonb_path_query_array_tz "
	"fjsonb_path_query_first_tz upg_advisory_unlock_shared fpg_current_wal_insert_lsn fpg_extension_update_paths "
	"fpg_get_function_arguments fpg_get_publication_tables fpg_replication_origin_oid fpg_restore_extended_stats "
	"fpg_restore_relation_stats fpg_show_all_file_settings fpg_stat_get_analyze_count fpg_stat_get_backend_idset "
	"fpg_stat_get_backend_start fpg_stat_get_db_blocks_hit fpg_stat_get_db_temp_bytes fpg_stat_get_db_temp_files "
	"fpg_stat_get_progress_info fpg_stat_get_xact_numscans fpg_sync_replication_slots fpg_try_advisory_xact_lock "
	"fpg_ts_template_is_visible ftimestamp_cmp_timestamptz ftimestamptz_cmp_timestamp ftimestamptz_hash_extended")
NAMES(26,
	"fpg_available_wal_summaries fpg_relation_is_publishable fpg_replication_origin_drop fpg_restore_attribute_stats "
	"fpg_stat_get_backend_userid fpg_stat_get_blocks_fetched fpg_stat_get_db_active_time fpg_stat_get_db_numbackends "
	"fpg_stat_get_db_xact_commit fpg_stat_get_function_calls fpg_stat_get_tuples_deleted fpg_stat_get_tuples_fetched "
	"fpg_stat_get_tuples_updated ftable_to_xml_and_xmlschema fxml_is_well_formed_content")
NAMES(27,
	"fjsonb_populate_record_valid fpg_collation_actual_version fpg_get_catalog_foreign_keys "
	"fpg_get_function_arg_default fpg_get_wal_summarizer_state fpg_import_system_collations "
	"fpg_logical_slot_get_changes fpg_notification_queue_usage fpg_replication_slot_advance "
	"fpg_stat_get_backend_subxact fpg_stat_get_db_conflict_all fpg_stat_get_db_session_time "
	"fpg_stat_get_stat_reset_time fpg_stat_get_tuples_inserted fpg_stat_get_tuples_returned "
	"fpg_stat_get_xact_blocks_hit fpg_stat_reset_backend_stats fpg_timezone_abbrevs_abbrevs "
	"lpg_try_advisory_lock_shared frange_intersect_agg_transfn fschema_to_xml_and_xmlschema "
	"fxml_is_well_formed_document")
NAMES(28,
	"fpg_advisory_xact_lock_shared fpg_get_publication_sequences fpg_get_wal_resource_managers "
	"fpg_index_column_has_property fpg_logical_slot_peek_changes fpg_replication_origin_create "
	"fpg_stat_get_autovacuum_count fpg_stat_get_backend_activity fpg_stat_get_db_blk_read_time "
	"fpg_stat_get_db_conflict_lock fpg_stat_get_db_xact_rollback fpg_stat_get_ins_since_vacuum "
	"fpg_stat_get_last_vacuum_time fpg_stat_get_replication_slot fpg_statistics_obj_is_visible")
NAMES(29,
	"fdatabase_to_xml_and_xmlschema fgist_translate_cmptype_common fjson_object_agg_unique_strict "
	"fpg_event_trigger_ddl_commands fpg_get_replica_identity_index fpg_get_shmem_allocations_numa "
	"fpg_get_wal_replay_pause_state fpg_identify_object_as_address fpg_indexam_progress_phasename "
	"fpg_last_xact_replay_timestamp fpg_replication_origin_advance fpg_stat_get_autoanalyze_count "
	"fpg_stat_get_autovacuum_scores fpg_stat_get_buf_fsync_backend fpg_stat_get_db_blk_write_time "
	"fpg_stat_get_db_blocks_fetched fpg_stat_get_db_sessions_fatal fpg_stat_get_db_tuples_deleted "
	"fpg_stat_get_db_tuples_fetched fpg_stat_get_db_tuples_updated fpg_stat_get_last_analyze_time "
	"fpg_stat_get_mod_since_analyze fpg_stat_get_recovery_prefetch fpg_stat_get_total_vacuum_time "
	"fpg_stop_making_pinned_objects")
NAMES(30,
	"fjsonb_object_agg_unique_strict fpg_current_xact_id_if_assigned fpg_get_backend_memory_contexts "
	"fpg_get_partition_constraintdef fpg_log_backend_memory_contexts fpg_replication_origin_progress "
	"fpg_safe_snapshot_blocking_pids fpg_stat_get_backend_wait_event fpg_stat_get_backend_xact_start "
	"fpg_stat_get_db_sessions_killed fpg_stat_get_db_stat_reset_time fpg_stat_get_db_tuples_inserted "
	"fpg_stat_get_db_tuples_returned fpg_stat_get_function_self_time fpg_stat_get_snapshot_timestamp "
	"fpg_stat_get_subscription_stats fpg_stat_get_total_analyze_time fpg_stat_get_tuples_hot_updated "
	"fpg_stat_reset_replication_slot")
NAMES(31,
	"fpg_available_extension_versions fpg_get_dsm_registry_allocations fpg_get_statisticsobjdef_columns "
	"fpg_stat_get_backend_client_addr fpg_stat_get_backend_client_port fpg_stat_get_buf_written_backend "
	"fpg_stat_get_function_total_time fpg_stat_get_xact_blocks_fetched fpg_stat_get_xact_function_calls "
	"fpg_stat_get_xact_tuples_deleted fpg_stat_get_xact_tuples_fetched fpg_stat_get_xact_tuples_updated "
	"fpg_xact_commit_timestamp_origin")
NAMES(32,
	"fmultirange_intersect_agg_transfn fpg_event_trigger_dropped_objects fpg_stat_get_checkpoint_sync_time "
	"fpg_stat_get_db_checksum_failures fpg_stat_get_db_conflict_snapshot fpg_stat_get_last_autovacuum_time "
	"fpg_stat_get_xact_tuples_inserted fpg_stat_get_xact_tuples_returned fpg_stat_reset_subscription_stats "
	"fpg_try_advisory_xact_lock_shared")
NAMES(33,
	"fpg_show_replication_origin_status fpg_stat_get_checkpoint_write_time fpg_stat_get_db_conflict_bufferpin "
	"fpg_stat_get_db_sessions_abandoned fpg_stat_get_last_autoanalyze_time fpg_stat_get_total_autovacuum_time")
NAMES(34,
	"fhas_foreign_data_wrapper_privilege fpg_event_trigger_table_rewrite_oid fpg_get_function_identity_arguments "
	"fpg_logical_slot_get_binary_changes fpg_stat_get_backend_activity_start fpg_stat_get_checkpointer_num_timed "
	"fpg_stat_get_checkpointer_sync_time fpg_stat_get_db_conflict_tablespace fpg_stat_get_total_autoanalyze_time "
	"fpg_stat_get_tuples_newpage_updated")
NAMES(35,
	"fpg_get_statisticsobjdef_expressions fpg_logical_slot_peek_binary_changes fpg_stat_get_backend_wait_event_type "
	"fpg_stat_get_checkpointer_write_time fpg_stat_get_db_conflict_logicalslot fpg_stat_get_xact_function_self_time "
	"fpg_stat_get_xact_tuples_hot_updated fpg_stat_reset_single_table_counters")
NAMES(36,
	"fpg_database_collation_actual_version fpg_isolation_test_session_is_blocked fpg_stat_get_bgwriter_stat_reset_time "
	"fpg_stat_get_db_checksum_last_failure fpg_stat_get_function_stat_reset_time fpg_stat_get_xact_function_total_time")
NAMES(37,
	"fpg_event_trigger_table_rewrite_reason fpg_stat_get_bgwriter_maxwritten_clean "
	"fpg_stat_get_checkpointer_slru_written")
NAMES(38,
	"fpg_stat_get_bgwriter_buf_written_clean fpg_stat_get_bgwriter_timed_checkpoints "
	"fpg_stat_get_checkpointer_num_performed fpg_stat_get_checkpointer_num_requested "
	"fpg_stat_reset_single_function_counters")
NAMES(39,
	"fpg_stat_get_db_idle_in_transaction_time fpg_stat_get_xact_tuples_newpage_updated")
NAMES(40,
	"fpg_stat_get_checkpointer_buffers_written fpg_stat_get_checkpointer_stat_reset_time "
	"fpg_stat_get_db_conflict_startup_deadlock fpg_stat_get_db_parallel_workers_launched")
NAMES(41,
	"fpg_stat_get_db_parallel_workers_to_launch")
NAMES(42,
	"fpg_stat_get_bgwriter_requested_checkpoints")
NAMES(44,
	"fpg_stat_get_bgwriter_buf_written_checkpoints fpg_stat_get_checkpointer_restartpoints_timed")
NAMES(48,
	"fpg_stat_get_checkpointer_restartpoints_performed fpg_stat_get_checkpointer_restartpoints_requested")
