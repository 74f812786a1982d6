"""Prints the directory and the path of every test binary in cargo's JSON messages."""

import json
import os
import sys

for line in sys.stdin:
    message = json.loads(line) if line.startswith("{") else {}
    if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message.get("executable"):
        print(os.path.dirname(message["manifest_path"]), message["executable"], sep="\t")
