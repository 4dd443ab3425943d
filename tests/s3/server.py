"""An S3-compatible server for the tests, with an empty bucket `bucket`: prints its address and serves until it is killed.

Called with `keys`, it accepts only requests that are signed with the two keys that it prints after the address; with
`unconditional`, it writes over what exists also when it is told not to, as old servers do.
"""

import json
import logging
import os
import sys
import threading

with_keys = "keys" in sys.argv[1:]
# What is needed to make the bucket and the user; from then on requests are checked.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4" if with_keys else "inf"

import boto3  # noqa: E402
from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication  # noqa: E402

if "unconditional" in sys.argv[1:]:
    answer = DomainDispatcherApplication.__call__

    def ignore_condition(self, environ, start_response):
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return answer(self, environ, start_response)

    DomainDispatcherApplication.__call__ = ignore_condition

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
session = boto3.Session("test", "test", region_name="us-east-1")
session.client("s3", endpoint_url=url).create_bucket(Bucket="bucket")
said = [url]
if with_keys:
    iam = session.client("iam", endpoint_url=url)
    iam.create_user(UserName="rheo")
    key = iam.create_access_key(UserName="rheo")["AccessKey"]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_user_policy(UserName="rheo", PolicyName="everything", PolicyDocument=policy)
    said += [key["AccessKeyId"], key["SecretAccessKey"]]
print(" ".join(said), flush=True)
threading.Event().wait()
