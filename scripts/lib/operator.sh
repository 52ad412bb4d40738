# shellcheck shell=bash
# operator: what those who run the service do by hand: with which database, in which directory, and who it was.

# operator_begin: sets DATABASE_URL if it is not set, and a service of scripts/run is there.
operator_begin() {
	run_dir_begin
	ROOT=$(cd "$(dirname "$0")/.." && pwd)
	run_dir_end >/dev/null
	if [ -z "${DATABASE_URL-}" ] && [ -r "$RUN_DIR/ready.env" ]; then
		DATABASE_URL=$(
			# shellcheck disable=SC1091
			. "$RUN_DIR/ready.env"
			printf %s "$DATABASE_URL"
		)
	fi
	# For the audit log: no name of a user can have a colon.
	ACTOR=os:${SUDO_USER:-$(id -un)}
}

# operator_sql [PSQL-ARG...] <STATEMENTS: as the owner of the tables, in one transaction, and in the name of $ACTOR.
operator_sql() {
	{
		cat <<-'SQL'
		SET client_min_messages = warning;
		BEGIN;
		SET LOCAL ROLE lesson_owner;
		SELECT set_config('app.uid', :'actor', true) \g /dev/null
		SQL
		cat
		echo 'COMMIT;'
	} | (
		conninfo_set "$DATABASE_URL"
		psql "$CONNINFO" -X -q -v ON_ERROR_STOP=1 -v actor="$ACTOR" "$@"
	)
}
