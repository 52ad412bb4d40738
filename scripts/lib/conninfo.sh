# shellcheck shell=bash
# conninfo: a connection string without its password, which goes by the environment: everybody on the machine can
# read the arguments of a process.

# conninfo_set STRING: sets CONNINFO, and exports PGPASSWORD if there is one in it.
conninfo_set() {
	local rest credentials

	CONNINFO=$1
	case $1 in
	postgres://*:*@* | postgresql://*:*@*)
		rest=${1#*://}
		credentials=${rest%%@*}
		case $credentials in
		*:*) ;;
		*) return 0 ;; # the colon is a port's
		esac
		CONNINFO=${1%%://*}://${credentials%%:*}@${rest#*@}
		PGPASSWORD=${credentials#*:}
		printf -v PGPASSWORD %b "${PGPASSWORD//%/\\x}"
		;;
	*password*=*)
		if [[ $1 =~ (^|[[:space:]])password[[:space:]]*=[[:space:]]*(\'([^\']*)\'|([^\'[:space:]]+)) ]]; then
			CONNINFO=${1/"${BASH_REMATCH[0]}"/ }
			PGPASSWORD=${BASH_REMATCH[3]}${BASH_REMATCH[4]}
		fi
		;;
	esac
	[ -z "${PGPASSWORD-}" ] || export PGPASSWORD
}
