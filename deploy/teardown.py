"""Deletes a stage's stack, and lists everything that it leaves behind: data, logs, and shared resources."""

from collections.abc import Iterator

from deploy import aws_cli
from deploy.aws_cli import DeployError
from deploy.stack import Stack, describe_stack, failures, log_groups, retained, stack_name


def teardown(stage: str, confirmed: str) -> None:
    """Delete a stage's stack if ``confirmed`` is the stage, and print what stays and how it is deleted.

    Raises DeployError if it is not confirmed, with what would be deleted, or if CloudFormation fails.
    """
    stack = describe_stack(stack_name(stage))
    if stack.status and confirmed != stage:
        named = "\n".join(what_stays(stack))
        raise DeployError(
            f"This deletes the stack {stack.name} ({stack.status}): its URL is gone for good, and with it "
            f"every caller's access. These stay, and keep their costs:\n{named}\n"
            f"Nothing was deleted. To go on: make teardown STAGE={stage} CONFIRM={stage}"
        )
    stays = list(what_stays(stack))
    if stack.status:
        print(f"Deleting {stack.name} ...")
        aws_cli.run("cloudformation", "delete-stack", "--stack-name", stack.name)
        waited = aws_cli.run(
            *("cloudformation", "wait", "stack-delete-complete", "--stack-name", stack.name), check=False
        )
        if waited is None:
            why = "\n".join(failures(stack.name))
            raise DeployError(f"{stack.name} could not be deleted.\n{why}")
    else:
        print(f"There is no stack {stack.name} in this AWS account and region.")
    print("\n".join(["What stays, and how to delete it:", *stays] if stays else ["Nothing stays."]))


def what_stays(stack: Stack) -> Iterator[str]:
    """Yield what a stack's deletion leaves, with the commands that delete it."""
    tables = {stack.outputs[name] for name in ("DirectoryName", "EventsName") if name in stack.outputs}
    tables |= (
        {one.rpartition(" ")[2] for one in retained(stack.name) if "DynamoDB" in one}
        if stack.status
        else set()
    )
    for table in sorted(tables):
        yield f"  table {table}, with all its data:"
        yield f"    aws dynamodb update-table --table-name {table} --no-deletion-protection-enabled"
        yield f"    aws dynamodb delete-table --table-name {table}"
    if archive := stack.outputs.get("EventArchiveName"):
        yield f"  bucket {archive}: S3 Object Lock keeps each event until its date."
        yield "  After the last one, empty it of all versions, and delete it:"
        yield f"    aws s3 rb s3://{archive}"
    for group in log_groups(stack.name):
        yield f"  log group {group} (a new stack of this stage needs it gone):"
        yield f"    aws logs delete-log-group --log-group-name {group}"
    if stack.parameters.get("GatewayLogging") == "set-up" and stack.gateway == "rest":
        yield "  API Gateway's role for logs in this region: other APIs use it; leave it."
    if stack.status:
        yield f"  the packages under {stack.name}/ in the code bucket: aws s3 ls, aws s3 rm --recursive"
