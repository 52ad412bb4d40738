-- What wrk sends, and how it tells what it saw: one line "RESULT {…}".
--
--   wrk … -s wrk.lua URL -- paths=FILE                GET each path of a file in turn
--   wrk … -s wrk.lua URL -- post=PATH bodies=FILE     POST each body of a file in turn
--   … crowd=FILE                                      each with the next Authorization of a file
--   … spread=MILLISECONDS                            begin the connections so far apart, evenly, and not all at once
--
-- Headers come from wrk's -H.

local requests, next_request, spread, begun, connections = {}, 0, 0, 0, 0

local function lines_of(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

function init(args)
  local options = {}
  for _, arg in ipairs(args) do
    local name, value = arg:match("^(%w+)=(.*)$")
    if name then options[name] = value end
  end
  if options.paths then
    for _, path in ipairs(lines_of(options.paths)) do requests[#requests + 1] = wrk.format("GET", path) end
  else
    local crowd = options.crowd and lines_of(options.crowd) or {}
    for i, body in ipairs(lines_of(options.bodies)) do
      if #crowd > 0 then wrk.headers["Authorization"] = crowd[(i - 1) % #crowd + 1] end
      requests[#requests + 1] = wrk.format("POST", options.post, wrk.headers, body)
    end
  end
  spread = tonumber(options.spread or 0)
  connections = tonumber(options.connections or 0)
  if spread == 0 then delay = nil end
end

function delay()
  begun = begun + 1
  if begun > connections then return 0 end
  return math.floor(spread * begun / connections)
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function done(summary, latency)
  local e = summary.errors
  print(string.format(
    'RESULT {"us":%d,"requests":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,'
      .. '"p50_us":%d,"p95_us":%d,"p99_us":%d,"max_us":%d}',
    summary.duration, summary.requests, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max))
end
