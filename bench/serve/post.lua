wrk.method = "POST"
wrk.body = '{"input":{"text":"world"}}'
wrk.headers["Content-Type"] = "application/json"
