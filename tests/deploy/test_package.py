"""The package and its template, as deployed: ``make e2e`` builds them and runs these tests."""

import copy
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chalicelib.http.problems import title_of, type_of
from chalicelib.version import VERSION
from deploy.package import REQUIREMENTS, RESOURCES, package
from deploy.shifting import shift
from deploy.wheels import locked
from local.package.template import FUNCTIONS, OPTIONAL_FUNCTIONS, Template
from tests.support.filter_patterns import matches

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path(os.environ.get("SERVICE_USERS_PACKAGE", "")).absolute()
CHECKS = ROOT / ".tools" / "stack" / "bin"
RUNTIME = ROOT / ".tools" / "runtime" / "bin" / "python"
REQUESTS = ROOT / "tests" / "support" / "botocore_requests.py"
OPERATIONS_PAGE = ROOT / "docs" / "operations.md"

pytestmark = pytest.mark.skipif(
    "SERVICE_USERS_PACKAGE" not in os.environ, reason="needs the package: make e2e"
)


@cache
def template() -> dict[str, Any]:
    made: dict[str, Any] = json.loads((PACKAGE / "sam.json").read_text(encoding="utf-8"))
    return made


def resources(kind: str) -> dict[str, Any]:
    return {name: one for name, one in template()["Resources"].items() if one["Type"] == kind}


def run(*command: str | Path, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, text=True, capture_output=True, check=False, **more)


# The code


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    again = package("test", tmp_path / "again")
    assert (again / "deployment.zip").read_bytes() == (PACKAGE / "deployment.zip").read_bytes()
    for name in ("sam.json", "sbom.cdx.json"):
        assert (again / name).read_text() == (PACKAGE / name).read_text()


def test_the_bill_of_materials_names_every_distribution_in_the_package() -> None:
    bill = json.loads((PACKAGE / "sbom.cdx.json").read_text())
    named = {(one["name"], one["version"]) for one in bill["components"] if one["name"] != "chalice"}
    assert named == {(one.name, one.version) for one in locked(REQUIREMENTS)}


COMPILED = """
import importlib.util, json, marshal, sys
from pathlib import Path
root = Path(sys.argv[1])
seen = {}
for module in root.rglob("*.py"):
    made = Path(importlib.util.cache_from_source(str(module))).read_bytes()
    seen[str(module.relative_to(root))] = (
        made[:4] == importlib.util.MAGIC_NUMBER,
        int.from_bytes(made[4:8], "little"),
        marshal.loads(made[16:]).co_filename,
    )
json.dump(seen, sys.stdout)
"""


def test_every_module_is_compiled_for_the_runtime_with_an_unchecked_hash() -> None:
    seen = json.loads(run(RUNTIME, "-c", COMPILED, PACKAGE / "unpacked").stdout)
    assert "app.py" in seen
    for module, found in seen.items():
        # Hash-based, and not checked (PEP 552).
        assert found == [True, 1, f"/var/task/{module}"], module


def test_every_requirement_is_in_the_package_for_the_runtime_and_processor() -> None:
    present = {metadata.parent.name for metadata in (PACKAGE / "unpacked").glob("*.dist-info/METADATA")}
    for one in locked(REQUIREMENTS):
        assert f"{one.name.replace('-', '_')}-{one.version}.dist-info" in present, one.name
    native = {file.name for file in (PACKAGE / "unpacked").rglob("*.so")}
    assert native >= {f"{name}.cpython-313-x86_64-linux-gnu.so" for name in ("_core", "_speedups")}
    assert all(name.endswith((".cpython-313-x86_64-linux-gnu.so", ".abi3.so")) for name in native)


def test_arm64_gets_its_own_wheels_and_nothing_else_differs(tmp_path: Path) -> None:
    arm = package("test", tmp_path / "arm", "arm64")
    functions = [
        one["Properties"]
        for one in json.loads((arm / "sam.json").read_text())["Resources"].values()
        if one["Type"] == "AWS::Serverless::Function"
    ]
    assert functions
    assert {(one["Runtime"], *one["Architectures"]) for one in functions} == {("python3.13", "arm64")}
    here, there = contents(PACKAGE / "unpacked"), contents(arm / "unpacked")
    native = "cpython-313-x86_64-linux-gnu.so"
    differing = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
    modules = {name for name in here if name.endswith(native)}
    assert modules
    assert modules | {name.replace("x86_64", "aarch64") for name in modules} <= differing
    compiled = {name.partition("/")[0] for name in here if name.endswith(".so")}
    assert {"markupsafe", "msgspec"} <= compiled
    differing_modules = {name for name in differing if ".dist-info/" not in name}
    assert all(name.endswith(".so") for name in differing_modules)
    told = {name.rpartition("/")[2] for name in differing - differing_modules}
    assert {"RECORD", "WHEEL"} <= told
    assert all(one in {"RECORD", "WHEEL"} or one.endswith(".json") for one in told)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_the_package_is_small() -> None:
    assert (
        PACKAGE / "deployment.zip"
    ).stat().st_size < 10_000_000  # half of it is cryptography, for passkeys
    present = {one.name for one in (PACKAGE / "unpacked").iterdir()}
    assert not present & {"boto3", "s3transfer", "moto", "pytest", "local", "deploy", "tests", "pycparser"}


LOADED = """
import json, sys
before = set(sys.modules)
import app
json.dump(sorted(set(sys.modules) - before), sys.stdout)
"""


def test_the_api_imports_only_what_its_calls_need() -> None:
    done = run(RUNTIME, "-c", LOADED, cwd=PACKAGE / "unpacked", env=ENVIRONMENT)
    loaded = set(json.loads(done.stdout))
    assert "chalicelib.store.directory" in loaded
    for unwanted in (
        *(
            "boto3",
            "s3transfer",
            "jinja2",
            "markupsafe",
            "multiprocessing",
            "asyncio",
            "unittest",
        ),
        *("chalicelib.mail", "chalicelib.functions.enforce_policies", "chalicelib.functions.operator"),
        *("chalicelib.authorizer", "chalicelib.expiry", "contract", "chalicelib.store.outbox"),
        *("chalicelib.functions.feedback", "chalicelib.store.feedback", "chalicelib.rules.email_feedback"),
    ):
        assert not {one for one in loaded if one == unwanted or one.startswith(f"{unwanted}.")}, unwanted


ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "DIRECTORY_TABLE": "Directory",
    "EVENTS_TABLE": "Events",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def test_the_slimmed_models_make_the_same_requests() -> None:
    slim = run(RUNTIME, REQUESTS, cwd="/", env=ENVIRONMENT | {"PYTHONPATH": str(PACKAGE / "unpacked")})
    whole = run(sys.executable, REQUESTS, cwd="/", env=ENVIRONMENT)
    assert slim.stderr == whole.stderr == ""
    assert json.loads(slim.stdout) == json.loads(whole.stdout)
    assert len(json.loads(slim.stdout)) >= 4 * 8 * 4 * 2


# The template


def test_cfn_lint_finds_nothing_in_the_templates_their_translations_and_the_examples(
    translated: Path, tmp_path: Path
) -> None:
    examples = sorted((ROOT / "examples").glob("*/template*.yaml"))
    assert examples
    shifting = copy.deepcopy(template())
    shift(shifting, "Canary10Percent5Minutes", b"", {})
    shifted = tmp_path / "shifted.json"
    shifted.write_text(json.dumps(shifting), encoding="utf-8")
    for file in (PACKAGE / "sam.json", translated, translate(shifted, tmp_path), *examples):
        found = run(CHECKS / "cfn-lint", file)
        assert (found.returncode, found.stdout) == (0, "")


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translate(PACKAGE / "sam.json", tmp_path_factory.mktemp("translated"))


def translate(file: Path, directory: Path) -> Path:
    done = run(CHECKS / "python", ROOT / "deploy" / "translate.py", file)
    assert done.returncode == 0, done.stderr
    made = directory / f"{file.stem}-translated.json"
    made.write_text(done.stdout, encoding="utf-8")
    return made


def test_no_function_has_versions_of_its_own(translated: Path) -> None:
    """A parameter changes a function at once, and the exported ARN is the function's in every release.

    SAM publishes a version, which an alias needs, only when a template changes: not for a parameter.
    """
    made = json.loads(translated.read_text(encoding="utf-8"))
    types = {resource["Type"] for resource in made["Resources"].values()}
    assert not types & {"AWS::Lambda::Version", "AWS::Lambda::Alias"}
    assert "SnapStart" not in json.dumps(made)
    assert made["Outputs"]["AuthorizerArn"]["Value"] == {"Fn::GetAtt": ["Authorizer", "Arn"]}


@pytest.fixture(scope="module")
def deployed(translated: Path) -> dict[str, Any]:
    """The template as CloudFormation deploys it."""
    made: dict[str, Any] = json.loads(translated.read_text(encoding="utf-8"))
    return made


def deployed_resources(deployed: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: one for name, one in deployed["Resources"].items() if one["Type"] == kind}


def test_the_api_has_one_stage(deployed: dict[str, Any]) -> None:
    """A second one has no throttle, no access log and no alarm."""
    [stage] = deployed_resources(deployed, "AWS::ApiGateway::Stage").values()
    assert stage["Properties"]["StageName"] == "api"
    [deployment] = deployed_resources(deployed, "AWS::ApiGateway::Deployment").values()
    assert "StageName" not in deployment["Properties"]
    [api] = deployed_resources(deployed, "AWS::ApiGateway::RestApi").values()
    assert api["Properties"]["Body"]["swagger"] == "2.0"


def test_the_http_api_has_the_rest_apis_routes_and_one_stage(deployed: dict[str, Any]) -> None:
    """A stack has one of the two; what only one of them needs has its condition."""
    [rest] = deployed_resources(deployed, "AWS::ApiGateway::RestApi").values()
    routes = [it["Properties"] for it in deployed_resources(deployed, "AWS::ApiGatewayV2::Route").values()]
    assert {it["RouteKey"] for it in routes} == {
        "$default",
        *(f"ANY {path}" for path in rest["Properties"]["Body"]["paths"]),
    }
    assert {json.dumps(it["Target"]) for it in routes} == {
        '{"Fn::Sub": "integrations/${HttpApiIntegration}"}'
    }
    [integration] = deployed_resources(deployed, "AWS::ApiGatewayV2::Integration").values()
    assert integration["Properties"]["PayloadFormatVersion"] == "1.0"
    timeout = deployed["Resources"]["APIHandler"]["Properties"]["Timeout"]
    assert timeout * 1000 < integration["Properties"]["TimeoutInMillis"] <= 30_000
    [stage] = deployed_resources(deployed, "AWS::ApiGatewayV2::Stage").values()
    properties = stage["Properties"]
    assert (properties["StageName"], properties["AutoDeploy"]) == ("$default", True)
    assert properties["DefaultRouteSettings"]["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert properties["DefaultRouteSettings"]["ThrottlingBurstLimit"] == {"Ref": "BurstOfRequests"}
    assert properties["RouteSettings"].keys() <= {it["RouteKey"] for it in routes}
    assert set(stage["DependsOn"]) == deployed_resources(deployed, "AWS::ApiGatewayV2::Route").keys()
    for name, resource in deployed["Resources"].items():
        if resource["Type"].startswith("AWS::ApiGatewayV2::"):
            assert resource["Condition"] == "HasHttpApi", name
        if resource["Type"] in (
            "AWS::ApiGateway::RestApi",
            "AWS::ApiGateway::Stage",
            "AWS::ApiGateway::Deployment",
        ):
            assert resource["Condition"] == "HasRestApi", name
    invokers = {
        name: (it["Condition"], json.dumps(it["Properties"]["SourceArn"]))
        for name, it in deployed_resources(deployed, "AWS::Lambda::Permission").items()
        if it["Properties"]["FunctionName"] == {"Ref": "APIHandler"}
    }
    assert {condition for condition, _ in invokers.values()} == {"HasRestApi", "HasHttpApi"}
    assert "${HttpApi}/*" in invokers["HttpApiInvokePermission"][1]
    outputs = deployed["Outputs"]
    assert (outputs["RestAPIId"]["Condition"], outputs["HttpApiId"]["Condition"]) == (
        "HasRestApi",
        "HasHttpApi",
    )


@pytest.mark.parametrize("gateway", ["rest", "http"])
def test_the_dashboard_shows_the_stacks_api(gateway: str) -> None:
    document = json.loads((PACKAGE / "sam.json").read_text(encoding="utf-8"))
    made = Template(document, {"SenderAddress": "users@example.com", "Gateway": gateway})
    widgets = json.loads(made.properties("Dashboard")["DashboardBody"])["widgets"]
    found = {
        tuple(metric[:6])
        for widget in widgets
        for metric in widget["properties"].get("metrics", ())
        if metric[0] == "AWS/ApiGateway"
    }
    own = (
        ("ApiId", "HttpApi", "Stage", "$default")
        if gateway == "http"
        else ("ApiName", "service-users-test", "Stage", "api")
    )
    names = ("4xx", "5xx") if gateway == "http" else ("4XXError", "5XXError")
    assert found == {
        ("AWS/ApiGateway", name, *own) for name in ("Count", *names, "Latency", "IntegrationLatency")
    }


def test_the_apis_own_url_refuses_old_tls_and_can_be_closed(deployed: dict[str, Any]) -> None:
    [api] = deployed_resources(deployed, "AWS::ApiGateway::RestApi").values()
    properties = api["Properties"]
    assert properties["SecurityPolicy"] == {"Ref": "TlsPolicy"}
    assert properties["EndpointAccessMode"] == "BASIC", "API Gateway demands one for such a policy"
    policy = deployed["Parameters"]["TlsPolicy"]
    allowed = re.compile(policy["AllowedPattern"])
    assert allowed.fullmatch(policy["Default"])
    for weak in ("TLS_1_0", "TLS_1_2", "SecurityPolicy_TLS12_2018_EDGE", ""):
        assert not allowed.fullmatch(weak), weak
    extension = properties["Body"]["x-amazon-apigateway-endpoint-configuration"]
    assert extension == {"disableExecuteApiEndpoint": {"Fn::If": ["ClosesDefaultEndpoint", True, False]}}
    assert properties["EndpointConfiguration"] == {
        "Types": ["REGIONAL"],
        "IpAddressType": {"Ref": "IpAddressType"},
    }
    assert deployed["Parameters"]["IpAddressType"]["Default"] == "ipv4"


def test_what_a_failed_first_deploy_leaves_does_not_stop_the_next_one(deployed: dict[str, Any]) -> None:
    """A resource with a name that is kept when a creation rolls back makes every retry fail."""
    for name, resource in deployed["Resources"].items():
        policy = resource.get("DeletionPolicy", "Delete")
        properties = resource.get("Properties", {})
        named = [key for key in properties if key.endswith("Name") and key[:-4] in resource["Type"]]
        if resource["Type"] == "AWS::DynamoDB::Table":
            # With its protection on, a rollback could not delete it; without a name it is in nobody's way.
            assert (policy, named) == ("Retain", []), name
        else:
            assert policy in ("Delete", "RetainExceptOnCreate"), name


def test_every_role_takes_the_permissions_boundary(deployed: dict[str, Any]) -> None:
    roles = deployed_resources(deployed, "AWS::IAM::Role")
    others = {"GatewayLoggingRole", "ApiDestinationRole"}
    assert roles.keys() - others == {f"{name}Role" for name in (*FUNCTIONS, *OPTIONAL_FUNCTIONS)}
    for name, role in roles.items():
        assert role["Properties"]["PermissionsBoundary"] == {
            "Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]
        }, name


def test_every_parameter_is_used(deployed: dict[str, Any]) -> None:
    whole = json.dumps([deployed["Resources"], deployed["Conditions"]])
    for name in deployed["Parameters"]:
        assert json.dumps({"Ref": name}) in whole, name


def test_the_stream_leaves_concurrency_to_the_api(deployed: dict[str, Any]) -> None:
    """A new AWS account has ten executions at once."""
    sources = deployed_resources(deployed, "AWS::Lambda::EventSourceMapping").values()
    streams = [it["Properties"] for it in sources if "StartingPosition" in it["Properties"]]
    assert [it["ParallelizationFactor"] for it in streams] == [1, 1]
    queues = [it["Properties"] for it in sources if "StartingPosition" not in it["Properties"]]
    assert [it["ScalingConfig"] for it in queues] == [{"MaximumConcurrency": 2}] * 2
    for function in deployed_resources(deployed, "AWS::Lambda::Function").values():
        assert "ReservedConcurrentExecutions" not in function["Properties"]


def test_no_scheduled_call_waits_longer_than_its_schedule(deployed: dict[str, Any]) -> None:
    found = {
        name: (one["Properties"]["MaximumRetryAttempts"], one["Properties"]["MaximumEventAgeInSeconds"])
        for name, one in deployed_resources(deployed, "AWS::Lambda::EventInvokeConfig").items()
    }
    assert found == {
        "ResendEventInvokeConfig": (0, 60),
        "EnforcePoliciesEventInvokeConfig": (0, 3600),
        "PublishEventInvokeConfig": (0, 60),
    }


def test_api_gateway_may_invoke_the_authorizer_by_the_conditions_that_it_is_known_to_send() -> None:
    permission = template()["Resources"]["AuthorizerPermission"]["Properties"]
    assert "SourceAccount" not in permission
    assert "${AWS::AccountId}:*/authorizers/*" in permission["SourceArn"]["Fn::Sub"]


CRASH = {"errorType": "KeyError", "errorMessage": "'x'", "requestId": "1", "stackTrace": []}


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        # An exception that a function does not catch, by Lambda's runtime clients up to 4.0 and since.
        ({"log_level": "ERROR", **CRASH}, True),
        ({"level": "ERROR", **CRASH}, True),
        ({"log_level": "ERROR", "errorType": "Exception", "errorMessage": "Unauthorized"}, False),
        ({"level": "ERROR", "errorType": "Exception", "errorMessage": "Unauthorized"}, False),
        ({"level": "ERROR", "message": "a use was not recorded", "code": "AccessDeniedException"}, True),
        ({"level": "INFO", "message": "allowed", "username": "ERROR"}, False),
        # Lambda marks the invocation of a 401 as an error as well.
        ({"type": "platform.report", "record": {"status": "error"}}, False),
        ({"type": "platform.report", "record": {"status": "timeout"}}, True),
        ({"type": "platform.initRuntimeDone", "record": {"status": "error"}}, True),
        ({"type": "platform.initRuntimeDone", "record": {"status": "failure"}}, True),
        ({"type": "platform.initRuntimeDone", "record": {"status": "success"}}, False),
    ],
)
def test_the_authorizers_alarm_counts_failures_and_no_refusal(line: dict[str, Any], counted: bool) -> None:
    pattern = template()["Resources"]["AuthorizerFailures"]["Properties"]["FilterPattern"]
    assert matches(pattern, line) is counted


DENIED = "An error occurred (AccessDeniedException) when calling the GetItem operation: not authorized"


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ({"level": "ERROR", "message": "a use was not recorded", "code": "AccessDeniedException"}, True),
        ({"level": "ERROR", "message": "SES did not accept a message", "code": "AccessDenied"}, True),
        ({"level": "ERROR", "message": "a call failed", "errorMessage": DENIED}, True),
        ({"log_level": "ERROR", "errorType": "ClientError", "errorMessage": DENIED}, True),
        ({"level": "INFO", "message": "a use was not recorded", "code": "ThrottlingException"}, False),
        ({"level": "INFO", "message": "allowed", "username": "AccessDenied"}, False),
    ],
)
def test_each_functions_log_is_searched_for_denied_calls(line: dict[str, Any], counted: bool) -> None:
    filters = {
        one["Properties"]["LogGroupName"]["Ref"]: one["Properties"]
        for one in resources("AWS::Logs::MetricFilter").values()
        if one["Properties"]["MetricTransformations"][0]["MetricName"] == "AccessDenied"
    }
    assert filters.keys() == {f"{name}Log" for name in (*FUNCTIONS, *OPTIONAL_FUNCTIONS)}
    for name, properties in filters.items():
        assert matches(properties["FilterPattern"], line) is counted, name


def test_each_line_of_the_access_log_is_json_whatever_the_caller_sends() -> None:
    """API Gateway escapes nothing, so the log has no header, path or query as it was sent."""
    declared = template()["Resources"]
    logged = json.loads(declared["RestAPI"]["Properties"]["AccessLogSetting"]["Format"])
    assert logged["tls"] == "$context.tlsVersion"
    by_http_api = json.loads(declared["HttpApiStage"]["Properties"]["AccessLogSettings"]["Format"])
    assert by_http_api.keys() == logged.keys() - {"tls"}, "an HTTP API has no such variable"
    assert by_http_api.pop("route") == "$context.routeKey"
    assert by_http_api.items() < logged.items()
    assert set(logged.values()) <= {
        *("$context.requestId", "$context.integration.requestId", "$context.requestTime"),
        *("$context.identity.sourceIp", "$context.tlsVersion", "$context.httpMethod"),
        *("$context.resourcePath", "$context.status", "$context.error.responseType"),
        *("$context.responseLength", "$context.responseLatency", "$context.integration.latency"),
    }


def test_checkov_finds_nothing_without_an_explanation(tmp_path: Path) -> None:
    template = json.loads((PACKAGE / "sam.json").read_text(encoding="utf-8"))
    # checkov leaves out what a default turns off.
    template["Parameters"]["EventBus"]["Default"] = "on"
    (tmp_path / "sam.json").write_text(json.dumps(template), encoding="utf-8")
    command = ["--framework", "cloudformation", "--skip-download", "--output", "json"]
    found = json.loads(run(CHECKS / "checkov", "-f", "sam.json", *command, cwd=tmp_path).stdout)["results"]
    assert [(one["check_id"], one["resource"]) for one in found["failed_checks"]] == []
    skipped = {(one["resource"].rpartition(".")[2], one["check_id"]) for one in found["skipped_checks"]}
    declared = json.loads(RESOURCES.read_text(encoding="utf-8"))["Resources"]
    explained = {
        (name, skip["id"])
        for name, resource in declared.items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
        if len(skip["comment"]) > 20
    }
    assert explained == skipped, "an explanation for each skipped check, and no unused one"


def test_each_function_has_our_runtime_and_log_retention() -> None:
    functions = resources("AWS::Serverless::Function")
    assert functions.keys() == {*FUNCTIONS, *OPTIONAL_FUNCTIONS}
    for name, function in functions.items():
        properties = function["Properties"]
        assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["x86_64"])
        logging = properties["LoggingConfig"]
        assert logging["LogFormat"] == "JSON"
        group = template()["Resources"][logging["LogGroup"]["Ref"]]["Properties"]
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        tables = {"DIRECTORY_TABLE", "EVENTS_TABLE"} - ({"DIRECTORY_TABLE"} if name == "Publish" else set())
        if name != "Archive":
            assert tables <= properties["Environment"]["Variables"].keys(), name


def test_the_tables_are_protected() -> None:
    tables = resources("AWS::DynamoDB::Table")
    assert tables.keys() == {"Directory", "Events"}
    for table in tables.values():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        properties = table["Properties"]
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert properties["SSESpecification"] == {"SSEEnabled": True}
        assert properties["DeletionProtectionEnabled"] is True
    assert tables["Events"]["Properties"]["TimeToLiveSpecification"]["Enabled"] is True


def test_the_mailer_reads_the_stream_from_its_start_with_bounded_retries() -> None:
    source = template()["Resources"]["Notify"]["Properties"]["Events"]["NotifyDynamodbEventSource"][
        "Properties"
    ]
    assert source["Stream"] == {"Fn::GetAtt": ["Events", "StreamArn"]}
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BisectBatchOnFunctionError"] is True
    assert 0 < source["MaximumRecordAgeInSeconds"] <= 86_400
    assert 0 < source["MaximumRetryAttempts"] <= 10
    assert source["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}


def test_gateway_responses_are_problems_and_repeat_no_input() -> None:
    api = template()["Resources"]["RestAPI"]["Properties"]
    responses = api["GatewayResponses"]
    assert {
        "MISSING_AUTHENTICATION_TOKEN",
        "THROTTLED",
        "REQUEST_TOO_LARGE",
        "DEFAULT_4XX",
        "DEFAULT_5XX",
    } <= responses.keys()
    for kind, response in responses.items():
        problem = json.loads(response["ResponseTemplates"]["application/json"])
        assert problem.keys() - {"status"} == {"type", "title", "detail", "requestId"}, kind
        assert problem.get("status") == response.get("StatusCode")
        if status := problem.get("status"):
            assert (problem["type"], problem["title"]) == (type_of(status), title_of(status)), kind
        headers = response["ResponseParameters"]["Headers"]
        assert headers["Content-Type"] == "'application/problem+json'"
        if response.get("StatusCode") == 401:
            assert headers["WWW-Authenticate"].startswith("'Basic ")
        # API Gateway's own messages can repeat the Authorization header: unknown path, Basic credentials.
        assert "$context.error" not in response["ResponseTemplates"]["application/json"]
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["StatusCode"] == 404
    assert responses["INVALID_SIGNATURE"]["StatusCode"] == 404
    logged = json.loads(api["AccessLogSetting"]["Format"])
    assert {"$context.requestId", "$context.integration.requestId"} <= set(logged.values())
    assert "$context.path" not in logged.values(), "a path may contain a key by mistake"
    assert not [
        name
        for name in logged.values()
        if re.search(r"message|authoriz|header|validation", name, re.IGNORECASE)
    ]
    for settings in api["MethodSettings"]:
        assert {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= settings.keys()
        assert settings["LoggingLevel"] == "OFF"
        assert settings["DataTraceEnabled"] is False
    every, reports, health = api["MethodSettings"]
    assert (every["ResourcePath"], every["HttpMethod"]) == ("/*", "*")
    # A slash is ~1 there: a flood of reports takes nothing from other calls.
    assert (reports["ResourcePath"], reports["HttpMethod"]) == ("/~1v1~1leaked-keys", "POST")
    assert (reports["ThrottlingRateLimit"], reports["ThrottlingBurstLimit"]) == (5, 10)
    assert (health["ResourcePath"], health["HttpMethod"]) == ("/~1health", "GET")
    assert (health["ThrottlingRateLimit"], health["ThrottlingBurstLimit"]) == (20, 40)


def test_every_alarm_has_a_recipient_and_names_its_section() -> None:
    headings = set(re.findall(r"^#+ (.+)$", OPERATIONS_PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    composite = resources("AWS::CloudWatch::CompositeAlarm")
    single = resources("AWS::CloudWatch::Alarm")
    topics = {**dict.fromkeys(single, "Alarms"), "PageMe": "Pages", "LookTomorrow": "Tasks"}
    alarms = {**single, **composite}
    assert topics.keys() == alarms.keys()
    assert len(alarms) >= 8
    for name, alarm in alarms.items():
        properties = alarm["Properties"]
        assert properties["AlarmActions"] == properties["OKActions"] == [{"Ref": topics[name]}], name
        page = re.search(r"docs/operations\.md: (.+)\.$", properties["AlarmDescription"])
        assert page, name
        assert page[1] in headings, name


def test_the_dashboard_refers_to_existing_resources() -> None:
    [board] = resources("AWS::CloudWatch::Dashboard").values()
    body, optional = board["Properties"]["DashboardBody"]["Fn::Sub"]
    entries = {
        name: it["Fn::If"][1]["Fn::Sub"] for name, it in optional.items() if name.endswith("AlarmEntry")
    }
    of_the_api = dict.fromkeys(optional.keys() - entries.keys(), "x")
    for values in ({**dict.fromkeys(entries, ""), **of_the_api}, {**entries, **of_the_api}):
        shown = body
        for name, entry in values.items():
            shown = shown.replace(f"${{{name}}}", entry)
        widgets = json.loads(shown)["widgets"]
        names = {found.partition(".")[0] for found in re.findall(r"\$\{([^}]+)\}", shown)}
        assert names - {"AWS::Region", "AWS::StackName"} <= template()["Resources"].keys()
        listed = {it for one in widgets if one["type"] == "alarm" for it in one["properties"]["alarms"]}
    alarms = resources("AWS::CloudWatch::Alarm") | resources("AWS::CloudWatch::CompositeAlarm")
    assert listed == {f"${{{name}.Arn}}" for name in alarms}


def test_the_outputs_are_complete() -> None:
    outputs = template()["Outputs"]
    assert outputs["Version"]["Value"] == VERSION
    assert outputs["Release"]["Value"].partition("+")[0] == VERSION
    assert outputs["AuthorizerArn"]["Export"]["Name"] == {"Fn::Sub": "${AWS::StackName}-AuthorizerArn"}
    assert {
        "EndpointURL",
        "CreateAccountName",
        "RecoverOwnerName",
        "DirectoryName",
        "EventsName",
        "DeadLettersUrl",
        "AlarmsTopic",
        "PageMeTopic",
        "LookTomorrowTopic",
    } <= outputs.keys()
    parameters = template()["Parameters"]
    assert [name for name, one in parameters.items() if "Default" not in one] == ["SenderAddress"]


@pytest.mark.parametrize(
    ("gateway", "url"),
    [
        ("rest", "https://RestAPI.execute-api.us-east-1.amazonaws.com/api"),
        ("http", "https://HttpApi.execute-api.us-east-1.amazonaws.com"),
    ],
)
def test_the_url_is_of_the_api_that_there_is_in_outputs_and_emails(gateway: str, url: str) -> None:
    document = json.loads((PACKAGE / "sam.json").read_text(encoding="utf-8"))
    made = Template(document, {"SenderAddress": "users@example.com", "Gateway": gateway})
    assert made.resolve(document["Outputs"]["EndpointURL"]["Value"]) == url
    for name in ("Notify", "Resend"):
        assert made.properties(name)["Environment"]["Variables"]["PUBLIC_URL"] == url
