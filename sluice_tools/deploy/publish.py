"""`sluice publish`: puts this version's templates and code into a bucket, for Terraform, CDK and the console."""

import re

from sluice_tools.cfn import Template
from sluice_tools.commands.aws_options import DEFAULT_STACK, AwsOptions
from sluice_tools.commands.frame import ExitCode, UsageError
from sluice_tools.commands.output import say, show_json, show_table
from sluice_tools.deploy.build import TEMPLATES, deployment_folder
from sluice_tools.deploy.command import as_command_errors, bucket_named, version_of
from sluice_tools.deploy.upload import publish_templates

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html: the characters that are safe everywhere
PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*")
PREFIX_MOST = 200
CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
"""The console's domain by how a region begins, where it is another than AWS's own."""


def publish(*, bucket: str, prefix: str = "sluice", aws: AwsOptions | None = None) -> ExitCode:
    """Put this version's templates and code into a bucket of yours, and print the templates' URLs.

    Terraform and CDK deploy from such a URL, and a link that is printed opens it in the console. The templates are in
    the folder PREFIX/VERSION of the bucket, and the code, which they name by its digest, is in the folder PREFIX.

    Args:
        bucket: The bucket, in the region of the stacks that are deployed from it.
        prefix: The folder in the bucket.
        aws: The account and the region; --stack has no meaning here.
    """
    aws = aws or AwsOptions()
    if aws.stack != DEFAULT_STACK:
        raise UsageError("--stack: cannot be given: what is published belongs to no stack")
    if not PREFIX.fullmatch(prefix) or len(prefix) > PREFIX_MOST:
        raise UsageError(
            "--prefix: must be names of folders such as tools/sluice, with letters, digits and !_.*'()- , at most"
            f" {PREFIX_MOST} characters (got {prefix[:80]!r})"
        )
    with as_command_errors(f"bucket {bucket}"):
        target = bucket_named(aws, bucket, prefix)
        folder = deployment_folder()
        version = version_of(Template.load(folder / TEMPLATES[0]))
        urls = publish_templates(folder, TEMPLATES, version, target)
    link = console_link(target.region, urls[TEMPLATES[0]])
    if aws.as_json:
        show_json({"version": version, "templates": urls, "console": link})
    else:
        say(f"Sluice {version} is in the bucket {bucket}.")
        show_table(("template", "URL"), urls.items())
        say(f"To deploy it in the console: {link}")
    return ExitCode.DONE


def console_link(region: str, template_url: str) -> str:
    """A link that opens CloudFormation's console with the form for a new stack.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-console-create-stacks-quick-create-links.html
    """
    domain = next((found for begin, found in CONSOLES.items() if region.startswith(begin)), "console.aws.amazon.com")
    return (
        f"https://{region}.{domain}/cloudformation/home?region={region}#/stacks/create/review"
        f"?templateURL={template_url}&stackName={DEFAULT_STACK}"
    )
