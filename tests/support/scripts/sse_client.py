"""Prints the data of each server-sent event of a URL as JSON, one in a line, until there are no more."""

import json
import sys
import urllib.request

import sseclient

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(sys.argv[1], timeout=50) as answer:
    for event in sseclient.SSEClient(answer).events():
        print(json.dumps(event.data), flush=True)
