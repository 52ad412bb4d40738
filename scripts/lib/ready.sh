# shellcheck shell=bash
# ready: wait until it works, make the first lesson, tell people and programs about it.

READY_SECONDS=60
PROVIDER_SECONDS=3
FIRST_LESSON_SECONDS=30

CREDENTIALS= # of the admin, as curl has them in a file

# Where no password signs in, a token does, for as long as this takes.
ready_sign_in() {
	CREDENTIALS="user = \"admin:$ADMIN_PASSWORD\""
	[ "$AUTH_MODE" != basic ] || return 0
	CREDENTIALS=$(DATABASE_URL=$(database_url "$OPERATOR" "$OPERATOR_DATABASE_PASSWORD") \
		scripts/token create --name admin --role admin --expires 5m 2>>"$LOG_DIR/token.log") || die "see $LOG_DIR/token.log"
	CREDENTIALS="header = \"Authorization: Bearer $CREDENTIALS\""
}

# call METHOD PATH [CURL-ARG...], as the admin. The password is not in ps.
call() {
	local method=$1 path=$2

	shift 2
	printf '%s\n' "$CREDENTIALS" |
		curl -q -K - -s --noproxy '*' --max-time 10 -X "$method" "$@" "$BASE_URL$path"
}

# /readyz is red, too, when no provider is at hand: that keeps nobody from looking at traces.
ready_wait() {
	local begin=$SECONDS name answer others

	until answer=$(call GET /readyz -w ' %{http_code}') && [ "${answer##* }" = 200 ]; do
		others=${answer/'"provider":false'/}
		if [ "$others" != "$answer" ] && [[ $others != *:false* ]] && [ $((SECONDS - begin)) -ge "$PROVIDER_SECONDS" ]; then
			say "No provider is at hand: lessons will end in error (see LLM_PROVIDERS, and the keys)"
			return
		fi
		for name in "${!PIDS[@]}"; do
			service_is_up "$name" && continue
			service_log "$name"
			die "$name ended at start: see $LOG_DIR/$name.log"
		done
		if [ $((SECONDS - begin)) -ge "$READY_SECONDS" ]; then
			for name in lessons lesson-generator; do service_log "$name"; done
			printf '%s\n' "--- /readyz: $answer" >&2
			die "not ready after $READY_SECONDS s: see the logs above, and $LOG_DIR"
		fi
		pause 0.1
	done
}

# On an empty database there would be nothing to look at.
ready_first_lesson() {
	local deadline=$((SECONDS + FIRST_LESSON_SECONDS)) location status=generating

	[ "$(sql -c 'SELECT EXISTS (SELECT FROM lessons)')" = f ] || return 0
	say "Generating a first lesson"
	location=$(call POST /api/lessons -o /dev/null -w '%header{location}' -H 'Content-Type: application/json' \
		-d '{"outline":"How plants make their own food from light, water and air","provider":"sample"}') || location=
	while [ "$status" = generating ] && [ "$SECONDS" -lt "$deadline" ]; do
		pause 0.1
		status=$(sql -v id="${location##*/}" <<<"SELECT status FROM lessons WHERE id::text = :'id'")
	done
	[ "$status" = generated ] || say "The first lesson is not there: see its trace, or $LOG_DIR/lesson-generator.log"
}

# The same for programs, whole or not at all.
ready_write_env() {
	local new

	new=$(mktemp "$RUN_DIR/ready.XXXXXX")
	cat >"$new" <<-ENV
		BASE_URL=$(quote "$BASE_URL")
		TLS_URL=$(quote "$TLS_URL")
		ADMIN_USER=admin
		ADMIN_PASSWORD=$(quote "$ADMIN_PASSWORD")
		USER=user
		PASSWORD=$(quote "$USER_PASSWORD")
		LOG_DIR=$(quote "$LOG_DIR")
		DATABASE_URL=$(quote "$(database_url "$OPERATOR" "$OPERATOR_DATABASE_PASSWORD")")
	ENV
	mv "$new" "$RUN_DIR/ready.env"
}

# The chain as one line: "openai (gpt-x), sample (sample-1)".
ready_chain() {
	sql -v doc="$(call GET /api/providers)" <<-'SQL' || echo "see /api/providers"
		SELECT coalesce(string_agg(format('%s (%s)', p->>'name', p->>'model'), ', ' ORDER BY (p->>'position')::int), 'none')
		  FROM json_array_elements(:'doc'::json->'providers') p WHERE p->>'position' IS NOT NULL
	SQL
}

ready_logins() {
	case $AUTH_MODE in
	basic)
		echo "  Sign in    admin $ADMIN_PASSWORD    all lessons and traces"
		echo "             user  $USER_PASSWORD    their own"
		;;
	request) echo "  Sign in    as $AUTH_REQUEST_URL says" ;;
	mtls) echo "  Sign in    with a certificate of $AUTH_CLIENT_CA, at $TLS_URL" ;;
	esac
	echo "             (scripts/user: who may; scripts/token: for machines)"
}

ready_print() {
	local trace

	trace=$(sql -c 'SELECT id FROM lesson_traces ORDER BY created_at LIMIT 1')
	cat <<-TEXT

		lesson-tracer is ready.

		  Pages      $BASE_URL/    (or $TLS_URL/, with a certificate of its own)
$(ready_logins)
		  A trace    $([ -n "$trace" ] && echo "$BASE_URL/traces/$trace" || echo "none yet")
		  Generate   curl $([ "$AUTH_MODE" = basic ] && echo "-u user:$USER_PASSWORD" || echo "-H 'Authorization: Bearer TOKEN'") -H 'Content-Type: application/json' -d '{"outline":"Why the moon has phases"}' $BASE_URL/api/lessons
		  Providers  $(ready_chain)
		             To add one, start with its key: OPENAI_API_KEY, ANTHROPIC_API_KEY, GROQ_API_KEY, GEMINI_API_KEY,
		             HF_TOKEN, DASHSCOPE_API_KEY, or OLLAMA_HOST.
		  Logs       $LOG_DIR
		  For programs, all of this is in $RUN_DIR/ready.env
		  Stop       Ctrl-C

	TEXT
}
