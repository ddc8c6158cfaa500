"""The small reader of CloudFormation templates that the template tests stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice_tools.cfn import ParameterError, Template

TEXT = """\
Parameters:
  Name: {Type: String, AllowedPattern: "^[a-z]+$"}
  Count: {Type: Number, Default: 3, MinValue: 1, MaxValue: 9}
  Kind: {Type: String, Default: a, AllowedValues: [a, b]}
Conditions:
  IsB: !Equals [!Ref Kind, b]
  IsNeither: !And [!Not [!Condition IsB], !Or [!Equals [!Ref Kind, c], !Condition IsB]]
Resources:
  Plain:
    Type: T::A
    Properties: &base
      Url: !Sub "https://${AWS::Region}/${Name}/${Other.Arn}/${!literal}"
      Part: !Select [1, !Split ["/", !Sub ["x/${Y}", {Y: !Ref Name}]]]
      Joined: !Join ["-", [!Ref Count, z]]
      Gone: !If [IsB, here, !Ref AWS::NoValue]
      List: [!If [IsB, here, !Ref AWS::NoValue], there]
      Made: !GetAtt Other.Arn
  Merged:
    Type: T::A
    Properties:
      <<: *base
      Joined: own
  Other:
    Type: T::B
    Condition: IsB
"""


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """The template above."""
    path = tmp_path / "t.yaml"
    path.write_text(TEXT)
    return Template.load(path)


def test_functions_resolve_when_parameters_are_given(template: Template) -> None:
    """Every intrinsic function in use comes to its value; what is absent leaves no trace."""
    resolved = template.resolve({"Name": "orders"}, Region="us-east-1")

    assert resolved.properties("Plain") == {
        "Url": "https://us-east-1/orders/<Other.Arn>/${literal}",
        "Part": "orders",
        "Joined": "3-z",
        "List": ["there"],
        "Made": "<Other.Arn>",
    }
    assert resolved.properties("Merged")["Joined"] == "own"
    assert resolved.properties("Merged")["Part"] == "orders"


def test_resources_are_there_when_their_condition_holds(template: Template) -> None:
    """A condition decides on a resource and on a property."""
    assert set(template.resolve({"Name": "orders"}).resources) == {"Plain", "Merged"}

    resolved = template.resolve({"Name": "orders", "Kind": "b"})

    assert set(resolved.of_type("T::B")) == {"Other"}
    assert resolved.properties("Plain")["Gone"] == "here"
    assert resolved.conditions == {"IsB": True, "IsNeither": False}


def test_parameters_are_refused_when_out_of_bounds(template: Template) -> None:
    """Each bad parameter is named."""
    with pytest.raises(ParameterError) as caught:
        template.resolve({"Count": "10", "Kind": "c", "Extra": "1"})

    assert [problem.split(":")[0] for problem in str(caught.value).split("; ")] == ["Extra", "Name", "Count", "Kind"]
    with pytest.raises(ParameterError, match="Name"):
        template.resolve({"Name": "Orders"})
