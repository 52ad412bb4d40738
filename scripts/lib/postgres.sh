# shellcheck shell=bash
# postgres: a private PostgreSQL 15 cluster in RUN_DIR/postgres. No TCP; every role needs its password.

OPERATOR=lesson_operator
DATABASE=lesson_tracer

# One that is made is made whole: the superuser's password and the database are in it.
postgres_create() {
	local new=$RUN_DIR/postgres.new

	[ ! -d "$RUN_DIR/postgres" ] || return 0
	say "Creating a PostgreSQL cluster in $RUN_DIR/postgres"
	rm -rf "$new"
	service_dir 0700 "$new"
	step "${AS_SERVICE[@]}" initdb -D "$new" -U "$OPERATOR" -A peer -E UTF8 --locale=C.UTF-8 >"$LOG_DIR/initdb.log" 2>&1 ||
		die "initdb failed: see $LOG_DIR/initdb.log"
	printf '%s\n' "ALTER ROLE $OPERATOR PASSWORD '$OPERATOR_DATABASE_PASSWORD'" "CREATE DATABASE $DATABASE" |
		"${AS_SERVICE[@]}" postgres --single -D "$new" postgres >>"$LOG_DIR/initdb.log" 2>&1
	mv "$new" "$RUN_DIR/postgres"
}

postgres_configure() {
	local dir=$RUN_DIR/postgres

	"${AS_SERVICE[@]}" tee "$dir/postgresql.conf" >/dev/null <<-CONF
		# Written by scripts/run at each start. Your own settings: local.conf, beside this file.
		listen_addresses = ''
		unix_socket_directories = '$SOCKETS'
		unix_socket_permissions = 0777
		max_connections = 100
		shared_buffers = 256MB
		max_wal_size = 2GB
		jit = off
		timezone = 'UTC'
		log_timezone = 'UTC'
		log_line_prefix = '%m [%p] %q%u@%d '
		include_if_exists = 'local.conf'
	CONF
	"${AS_SERVICE[@]}" tee "$dir/pg_hba.conf" >/dev/null <<-CONF
		local all all scram-sha-256
	CONF
}

# What a killed scripts/run left: it was told to stop, but waits for its clients.
postgres_stop_leftover() {
	"${AS_SERVICE[@]}" pg_ctl status -D "$RUN_DIR/postgres" >/dev/null 2>&1 || return 0
	say "Stopping the PostgreSQL that an earlier run left"
	"${AS_SERVICE[@]}" pg_ctl stop -D "$RUN_DIR/postgres" -m fast -t 60 >/dev/null || die "it does not stop: see $LOG_DIR/postgresql.log"
}

postgres_start() { service_start postgresql postgres -D "$RUN_DIR/postgres"; }

postgres_wait() {
	local deadline=$((SECONDS + 60))

	until pg_isready -q -h "$SOCKETS"; do
		if ! service_is_up postgresql || [ "$SECONDS" -ge "$deadline" ]; then
			service_log postgresql
			die "PostgreSQL did not start"
		fi
		pause 0.05
	done
}

# By pg_ctl, which also finds one that was restarted by hand.
postgres_stop() {
	if "${AS_SERVICE[@]}" pg_ctl status -D "$RUN_DIR/postgres" >/dev/null 2>&1; then
		"${AS_SERVICE[@]}" pg_ctl stop -D "$RUN_DIR/postgres" -m fast -t 30 >/dev/null 2>&1 ||
			"${AS_SERVICE[@]}" pg_ctl stop -D "$RUN_DIR/postgres" -m immediate -t 10 >/dev/null 2>&1 || :
	fi
	services_stop QUIT 5 postgresql
}

# database_url ROLE PASSWORD
database_url() { printf 'postgresql://%s:%s@/%s?host=%s' "$1" "$2" "$DATABASE" "${SOCKETS// /%20}"; }

# sql <STATEMENTS, as the operator; answers bare values. The password is in the environment, not for all in ps.
sql() {
	PGHOST=$SOCKETS PGUSER=$OPERATOR PGDATABASE=$DATABASE PGPASSWORD=$OPERATOR_DATABASE_PASSWORD \
		psql -XqAt -v ON_ERROR_STOP=1 "$@"
}

postgres_migrate() {
	DATABASE_URL=$(database_url "$OPERATOR" "$OPERATOR_DATABASE_PASSWORD") step scripts/migrate ||
		die "the database could not be brought up to date"
	sql <<-SQL || die "the passwords of the roles could not be set"
		ALTER ROLE lesson_api LOGIN PASSWORD '$API_DATABASE_PASSWORD';
		ALTER ROLE lesson_admin LOGIN PASSWORD '$ADMIN_DATABASE_PASSWORD';
		ALTER ROLE lesson_worker LOGIN PASSWORD '$WORKER_DATABASE_PASSWORD';
	SQL
}
