"""Policies as people have them for Ratify, and reports as it hands them over.

The query is `data.ratify.policy.valid`.
"""

REPORTS: dict[str, object] = {
    "empty": {"verifierReports": []},
    "one": {
        "verifierReports": [
            {
                "subject": "r/x@sha256:1",
                "referenceDigest": "sha256:a",
                "artifactType": "application/vnd.cncf.notary.signature",
                "verifierReports": [
                    {
                        "isSuccess": True,
                        "message": "ok",
                        "name": "n",
                        "verifierName": "n",
                        "type": "notation",
                        "verifierType": "notation",
                        "extensions": {"Issuer": "CN=a", "SN": "CN=b"},
                    }
                ],
                "nestedReports": [],
            }
        ]
    },
    "bad": {
        "verifierReports": [
            {
                "subject": "r/x@sha256:1",
                "referenceDigest": "sha256:a",
                "artifactType": "application/vnd.cncf.notary.signature",
                "verifierReports": [
                    {"isSuccess": False, "message": "no", "name": "n", "errorReason": "x", "extensions": None}
                ],
                "nestedReports": [],
            }
        ]
    },
    "emptyinner": {
        "verifierReports": [
            {
                "subject": "r/x@sha256:1",
                "referenceDigest": "sha256:a",
                "artifactType": "sbom",
                "verifierReports": [],
                "nestedReports": [],
            }
        ]
    },
    "nested": {
        "verifierReports": [
            {
                "subject": "r/x",
                "referenceDigest": "sha256:a",
                "artifactType": "sbom",
                "verifierReports": [{"isSuccess": True, "name": "s"}],
                "nestedReports": [
                    {
                        "subject": "r/x@sha256:a",
                        "referenceDigest": "sha256:b",
                        "artifactType": "application/vnd.cncf.notary.signature",
                        "verifierReports": [{"isSuccess": True, "name": "n"}],
                        "nestedReports": [],
                    }
                ],
            }
        ]
    },
    "nestedbad": {
        "verifierReports": [
            {
                "subject": "r/x",
                "referenceDigest": "sha256:a",
                "artifactType": "sbom",
                "verifierReports": [{"isSuccess": True, "name": "s"}],
                "nestedReports": [
                    {
                        "subject": "r/x@sha256:a",
                        "referenceDigest": "sha256:b",
                        "artifactType": "application/vnd.cncf.notary.signature",
                        "verifierReports": [{"isSuccess": False, "name": "n"}],
                        "nestedReports": [],
                    }
                ],
            }
        ]
    },
}

POLICIES: dict[str, str] = {
    name.strip(): text
    for name, _, text in (
        part.partition("\n")
        for part in r"""
poc
package ratify.policy
default valid := false
valid { not failed_verify(input) }
failed_verify(reports) { [path, value] := walk(reports); value == false; path[count(path) - 1] == "isSuccess" }
failed_verify(reports) { [path, value] := walk(reports); path[count(path) - 1] == "verifierReports"; count(value) == 0 }
### local_policy
package ratify.policy
default valid := false
valid { [policy, v] := walk(input); policy[count(policy)-1] == "isSuccess"; v == true }
### local_policy_comp
package ratify.policy
default valid := false
valid { x := [policy | [policy, v] := walk(input); v == true]; count(x) > 0 }
### local_ratify
package ratify.policy
default valid := false
valid { some ratify; input.verifierReports[ratify].verifierReports[_].isSuccess == true }
### local_ratify_comp
package ratify.policy
default valid := false
valid { x := [ratify | ratify := input.verifierReports[_]]; count(x) > 0 }
### local_valid
package ratify.policy
default valid := false
valid { valid := input.verifierReports[_]; valid.artifactType == "sbom" }
### local_rule
package ratify.policy
default valid := false
a := 3
valid { a := input.verifierReports[_]; a.artifactType == "sbom" }
### local_rule_comp
package ratify.policy
default valid := false
a := 3
valid { x := [a | a := input.verifierReports[_]]; count(x) > 0 }
### arg_rule
package ratify.policy
default valid := false
a := 3
f(a) { count(a.verifierReports) > 0 }
valid { f(input) }
### arg_named_policy
package ratify.policy
default valid := false
f(policy) { count(policy.verifierReports) > 0 }
valid { f(input) }
### arg_named_ratify_walk
package ratify.policy
default valid := false
f(ratify) { [p, v] := walk(ratify); p[count(p)-1]=="isSuccess"; v==false }
valid { not f(input) }
### data_ref
package ratify.policy
default valid := false
ok { input.verifierReports[0].artifactType == "sbom" }
valid { data.ratify.policy.ok }
### local_count
package ratify.policy
default valid := false
valid { count := input.verifierReports; count[0].artifactType == "sbom" }
### local_input_arg
package ratify.policy
default valid := false
f(input_) { input_.verifierReports[_].artifactType == "sbom" }
valid { f(input) }
### some_in
package ratify.policy
import future.keywords
default valid := false
valid if { some r in input.verifierReports; every i in r.verifierReports { i.isSuccess == true } }
### some_k_v
package ratify.policy
import future.keywords
default valid := false
valid if { some i, r in input.verifierReports; i == 0; r.artifactType == "sbom" }
### some_k_v_comp
package ratify.policy
import future.keywords
default valid := false
valid if { x := [i | some i, r in input.verifierReports]; count(x) == 1 }
### every_empty
package ratify.policy
import future.keywords
default valid := false
valid if { every r in input.verifierReports { r.artifactType == "sbom" } }
### v1
package ratify.policy
import rego.v1
default valid := false
valid if { count(input.verifierReports) > 0; not bad }
bad if { some r in input.verifierReports; count(r.verifierReports) == 0 }
bad if { some r in input.verifierReports; some v in r.verifierReports; not v.isSuccess }
### v1_noimport
package ratify.policy
default valid := false
valid if { count(input.verifierReports) > 0; not bad }
bad if { some r in input.verifierReports; some v in r.verifierReports; not v.isSuccess }
### contains
package ratify.policy
import rego.v1
types contains t if { some r in input.verifierReports; t := r.artifactType }
default valid := false
valid if "sbom" in types
### partial_set_v0
package ratify.policy
types[t] { t := input.verifierReports[_].artifactType }
default valid = false
valid = true { types["sbom"] }
### partial_obj
package ratify.policy
types[t] = n { t := input.verifierReports[n].artifactType }
default valid = false
valid = true { types["sbom"] == 0 }
### else
package ratify.policy
valid = true { count(input.verifierReports) == 0 } else = true { input.verifierReports[0].artifactType == "sbom" } else = false { true }
### conflict
package ratify.policy
valid = true { count(input.verifierReports) >= 0 }
valid = false { input.verifierReports[0].artifactType == "sbom" }
### nodefault
package ratify.policy
valid { input.verifierReports[0].artifactType == "sbom" }
### string_true
package ratify.policy
valid = "true" { input.verifierReports[0].artifactType == "sbom" }
### one
package ratify.policy
valid = 1 { true }
### div0
package ratify.policy
default valid := false
valid { x := 1 / count(input.verifierReports); x == 1 }
### to_number
package ratify.policy
default valid := false
valid { to_number(input.verifierReports[0].artifactType) == 3 }
valid { input.verifierReports[0].artifactType == "sbom" }
### undefined_neg
package ratify.policy
default valid := false
valid { not input.verifierReports[0].nothing.here }
### regex
package ratify.policy
default valid := false
valid { regex.match("^application/vnd\\.cncf", input.verifierReports[_].artifactType) }
### regexraw
package ratify.policy
default valid := false
valid { regex.match(`^application/vnd\.cncf`, input.verifierReports[_].artifactType) }
### startswith
package ratify.policy
default valid := false
valid { startswith(input.verifierReports[_].subject, "r/") }
### sprintf
package ratify.policy
default valid := false
valid { sprintf("%s-%d-%v", ["a", count(input.verifierReports), true]) == "a-1-true" }
### arrays
package ratify.policy
default valid := false
valid { x := array.concat(input.verifierReports, [1]); count(x) == 2; min([3,1]) == 1; concat(",", ["a","b"]) == "a,b" }
### time
package ratify.policy
default valid := false
valid { time.parse_rfc3339_ns("2024-01-01T00:00:00Z") < time.now_ns() ; time.now_ns() > 0}
### setcomp
package ratify.policy
default valid := false
valid { s := {t | t := input.verifierReports[_].artifactType}; s == {"sbom"} }
### objcomp
package ratify.policy
default valid := false
valid { o := {i: t | t := input.verifierReports[i].artifactType}; o[0] == "sbom" }
### with
package ratify.policy
default valid := false
ok { input.verifierReports[0].artifactType == "zzz" }
valid { ok with input as {"verifierReports":[{"artifactType":"zzz"}]} }
### withpath
package ratify.policy
default valid := false
ok { input.x == 1 }
valid { ok with input.x as 1 }
### numeric
package ratify.policy
default valid := false
valid { 9007199254740993 == 9007199254740993.0 }
### bigint
package ratify.policy
default valid := false
valid { 18446744073709551616 - 18446744073709551615 == 1 }
### float
package ratify.policy
default valid := false
valid { 0.1 + 0.2 == 0.3 }
### nulls
package ratify.policy
default valid := false
valid { input.verifierReports[_].verifierReports[_].extensions == null }
### negexpr
package ratify.policy
default valid := false
valid { not any_false }
any_false { input.verifierReports[_].verifierReports[_].isSuccess == false }
### unify
package ratify.policy
default valid := false
valid { [x, "b"] = ["a", y]; x == "a"; y == "b" }
### object_get
package ratify.policy
default valid := false
valid { object.get(input, ["verifierReports", 0, "artifactType"], "none") == "sbom" }
### recursion
package ratify.policy
default valid := false
valid { f(input) }
f(x) { f(x.y) }
### unsafe
package ratify.policy
default valid := false
valid { x > 3 }
### unknownfn
package ratify.policy
default valid := false
valid { nonsense(3) }
### httpsend
package ratify.policy
default valid := false
valid { http.send({"method":"get","url":"http://127.0.0.1:1"}).status_code == 200 }
### runtime
package ratify.policy
default valid := false
valid { opa.runtime().env.HOME }
### glob
package ratify.policy
default valid := false
valid { glob.match("r/*", ["/"], "r/x") }
### semver
package ratify.policy
default valid := false
valid { semver.compare("1.2.0","1.10.0") == -1 }
### jsonb64
package ratify.policy
default valid := false
valid { json.unmarshal(base64.decode("eyJhIjoxfQ==")).a == 1 }
### splitlower
package ratify.policy
default valid := false
valid { split(lower("A/B"), "/") == ["a","b"]
  trim_prefix("ab","a") == "b"; replace("aa","a","b")=="bb"; indexof("abc","c")==2; substring("abcdef",1,2)=="bc" }
### sum
package ratify.policy
default valid := false
valid { sum([1,2,3])==6; max([1,5])==5; sort([3,1])==[1,3]; product([2,3])==6 }
### setops
package ratify.policy
default valid := false
valid { {1,2} & {2,3} == {2}; {1}|{2} == {1,2}; {1,2}-{2} == {1} }
### typeof
package ratify.policy
default valid := false
valid { is_string("a"); is_array([]); type_name({})=="object"; is_boolean(false); is_null(null); is_number(1) }
### rule_else_fn
package ratify.policy
f(x) = "a" { x == 1 } else = "b" { x == 2 }
default valid = false
valid { f(2) == "b" }
### fn_multi
package ratify.policy
f(1) = 2 { true }
f(2) = 3 { true }
default valid = false
valid { f(count(input.verifierReports)) == 2 }
### chain
package ratify.policy
default valid = false
valid { input.verifierReports[i].verifierReports[j].isSuccess; i == 0; j == 0 }
### refheads
package ratify.policy
import rego.v1
a.b.c := 3
a.d[x] := y if { some x, y in ["q"] }
default valid := false
valid if { a.b.c == 3; a.d[0] == "q" }
### importalias
package ratify.policy
import input.verifierReports as vr
default valid := false
valid { count(vr) == 1 }
### importdata
package ratify.policy
import data.ratify.policy.ok as okk
default valid := false
ok = true { true }
valid { okk }
### wrongpkg
package other
valid { true }
### subpkg
package ratify
policy = {"valid": true}
### subpkg2
package ratify.policy.valid
x = true
### defaulttrue
package ratify.policy
default valid := true
valid = false { count(input.verifierReports) == 0 }
### emptybody
package ratify.policy
valid := count(input.verifierReports) == 1
### vconst
package ratify.policy
valid := true
### vfalse
package ratify.policy
valid := false
### comment
package ratify.policy
default valid := false # x
# valid { true }
valid { input.verifierReports[0].subject == "# not a comment"}
### print
package ratify.policy
default valid := false
valid { print("x"); true }
### trace
package ratify.policy
default valid := false
valid { trace("x") }
### jsonpatch
package ratify.policy
default valid := false
valid { json.patch({"a":1},[{"op":"add","path":"b","value":2}]) == {"a":1,"b":2} }
### walkcount
package ratify.policy
default valid := false
valid { n := count([1 | [p, v] := walk(input)]); n == 2 }
### walkonly
package ratify.policy
default valid := false
valid { walk(input, [p, v]); p == ["verifierReports", 0, "artifactType"]; v == "sbom" }
### cve
package ratify.policy
import future.keywords.in
default valid := false
valid { some r in input.verifierReports; r.artifactType in ["sbom","x"] }
### shadow_import
package ratify.policy
import future.keywords
default valid := false
data_ := 1
valid if { input.verifierReports[0].artifactType == "sbom" }
### numberkey
package ratify.policy
default valid := false
valid { {1: "a"}[1] == "a" }
### neg_comp
package ratify.policy
default valid := false
valid { count([r | r := input.verifierReports[_]; not ok(r)]) == 0 }
ok(r) { r.verifierReports[_].isSuccess }
### overlap
package ratify.policy
default valid := false
valid { ok[input.verifierReports[_].artifactType] }
ok := {"sbom", "x"}
""".strip("\n").split("### ")
    )
}
