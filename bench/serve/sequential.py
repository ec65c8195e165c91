"""A client that waits for each answer; prints how many of its requests were refused: ``sequential.py PORT COUNT``."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
refused = 0
for _ in range(int(sys.argv[2])):
    connection.request("POST", "/predictions", '{"input":{"text":"a"}}', {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    refused += response.status != 200
print(refused)
