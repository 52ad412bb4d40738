# shellcheck shell=bash
# nginx: the files of nginx/ with our paths and ports in them, a certificate, and two users, in RUN_DIR/nginx.

port_is_busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# nginx_pick_port NAME: move the setting on to a port that nobody listens on.
nginx_pick_port() {
	local -n port=$1
	local asked=$port

	while port_is_busy "$port" || [ "$1 $port" = "TLS_PORT $PORT" ]; do
		[ "$port" -lt 65535 ] || die "$1: none is free from $asked on"
		port=$((port + 1))
	done
	[ "$port" = "$asked" ] || say "$1 $asked is busy: taking $port"
}

# The {SSHA} form: base64 of SHA-1 of password and salt, and the salt. Enough for a random password, and quick.
nginx_user() {
	local salt
	salt=$(random_hex 8)
	printf '%s:{SSHA}%s\n' "$1" "$({ printf %s%s "$2" "$salt" | openssl dgst -sha1 -binary && printf %s "$salt"; } | base64 -w 0)"
}

nginx_create() {
	local dir=$RUN_DIR/nginx

	if [ ! -f "$dir/users.htpasswd" ]; then
		{ nginx_user admin "$ADMIN_PASSWORD" && nginx_user user "$USER_PASSWORD"; } >"$dir/users.new"
		printf '"~^admin$" admin;\n' >"$dir/admins.map"
		mv "$dir/users.new" "$dir/users.htpasswd"
	fi
	if ! openssl x509 -checkend 86400 -noout -in "$dir/tls.crt" >/dev/null 2>&1; then
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -subj /CN=localhost \
			-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null ||
			die "openssl could not make a certificate"
	fi
}

nginx_render() {
	local file

	for file in nginx/nginx.conf nginx/site.conf nginx/snippets/*.conf; do
		sed -e "s|@html@|$APP/html|; s|@port@|$PORT|; s|@tls_port@|$TLS_PORT|; s|@sockets@|$SOCKETS/fcgi|" \
			-e "s|@address_requests@|$ADDRESS_REQUESTS_PER_SECOND|g; s|@address_connections@|$ADDRESS_CONNECTIONS|" \
			-e "s|@auth_url@|$AUTH_REQUEST_URL|; s|@auth_origin@|${AUTH_REQUEST_URL%"/${AUTH_REQUEST_URL#*://*/}"}|" \
			-e "s|include snippets/auth-basic.conf;|include snippets/auth-$AUTH_MODE.conf;|" \
			${AUTH_CLIENT_CRL:+-e "s|^#ssl_crl|ssl_crl|"} "$file" >"$RUN_DIR/$file"
	done
	[ "$AUTH_MODE" != mtls ] || cp "${AUTH_CLIENT_CA:-}" "$RUN_DIR/nginx/clients.crt"
	[ -z "${AUTH_CLIENT_CRL:-}" ] || cp "$AUTH_CLIENT_CRL" "$RUN_DIR/nginx/clients.crl"
	chown "$SERVICE_USER" "$RUN_DIR"/nginx/*.* "$RUN_DIR"/nginx/snippets/*.*
}

nginx_start() {
	rm -f "$RUN_DIR/nginx/tmp/nginx.pid"
	service_start nginx nginx -p "$RUN_DIR" -c "$RUN_DIR/nginx/nginx.conf" -e "$LOG_DIR/nginx.log"
}

# On free ports: somebody may take one between the look and the bind, so look again.
nginx_start_on_free_ports() {
	local try

	for try in 1 2 3 4 5; do
		nginx_pick_port PORT
		nginx_pick_port TLS_PORT
		nginx_render
		nginx_start
		while service_is_up nginx && [ ! -s "$RUN_DIR/nginx/tmp/nginx.pid" ]; do pause 0.02; done
		if service_is_up nginx; then
			BASE_URL=http://127.0.0.1:$PORT TLS_URL=https://127.0.0.1:$TLS_PORT
			return
		fi
		[[ $(tail -n 3 "$LOG_DIR/nginx.log") == *'Address already in use'* ]] || break
		say "PORT $PORT or TLS_PORT $TLS_PORT was taken meanwhile: trying the next ones"
		PORT=$((PORT + 1)) TLS_PORT=$((TLS_PORT + 1))
	done
	service_log nginx
	die "nginx did not start, at try $try"
}
