import SquallScenario
import Testing

/// What a person reads when a document is wrong, byte for byte.
struct CompilerFaultTests {
  /// The line and the caret follow from the place, so the table has only the rest.
  @Test(arguments: steps) func aWrongStepIsSaidInItsPlace(wrong: Wrong) throws {
    try check(Sample.scenario(wrong.text), says: wrong.says)
  }

  @Test(arguments: documents) func aWrongDocumentIsSaidInItsPlace(wrong: Wrong) throws {
    try check(wrong.text, says: wrong.says)
  }

  @Test func theLineItselfIsShownWithACaret() {
    let document = FlowYAML.document("{squall: 1,\n\ttarget: x,\n  usres: {}}")
    #expect(throws: Fault.self) { try Compiler.compile(document) }
    let fault = Fault(
      Node(.scalar("usres", isPlain: true), at: Place(source: 0, line: 3, column: 3)), "no such key"
    )
    #expect(
      fault.message(in: document.sources)
        == "shop.yaml:3:3: no such key\n    usres: {}}\n    ^")
  }

  private func check(_ text: String, says expected: String) throws {
    let document = FlowYAML.document(text)
    let fault = #expect(throws: Fault.self) {
      try Compiler.compile(document, in: Self.surroundings)
    }
    let place = try #require(fault).place
    let line = document.sources[0].lines[place.line - 1]
    let caret = String(repeating: " ", count: place.column - 1) + "^"
    #expect(
      fault?.message(in: document.sources) == "shop.yaml:\(expected)\n  \(line)\n  \(caret)")
  }

  struct Wrong: CustomStringConvertible {
    var text: String
    var says: String
    var description: String { text }

    init(_ text: String, _ says: String) {
      self.text = text
      self.says = says
    }
  }

  private static var surroundings: Compiler.Surroundings {
    var surroundings = Compiler.Surroundings()
    let files = [
      "a.csv": "name,age\nann,5\nbob,7\n", "bad.csv": "name,age\nann\n", "a.txt": "x\n",
      "bad.jsonl": "{\"name\": 1\n",
    ]
    surroundings.file = { files[$0].map { Array($0.utf8) } }
    return surroundings
  }

  static let steps: [Wrong] = [
    Wrong(
      #"{get: /, get: /x}"#,
      #"3:10: 'get' is given twice, first in line 3: take one out"#),
    Wrong(
      #"{gte: /}"#,
      #"3:2: 'gte' is not a step: did you mean 'get'?"#),
    Wrong(
      #"{get: /, nmae: x}"#,
      #"3:10: 'nmae' is not a key of a request: did you mean 'name'?"#),
    Wrong(
      #"{get: /, post: /x}"#,
      #"3:10: 'post' contradicts 'get': give one of them"#),
    Wrong(
      #"{get: x}"#,
      #"3:7: the path 'x' does not begin with /: write /x"#),
    Wrong(
      #"{get: "http://${x}/x"}"#,
      #"3:7: the host of an address must be known before the run: write it out, with / behind it"#),
    Wrong(
      #"{get: "http://other.test${user}/x"}"#,
      #"3:7: the host of an address must be known before the run: write it out, with / behind it"#),
    Wrong(
      #"{get: "ftp://other.test/x"}"#,
      #"3:7: the scheme "ftp" is not supported: write the target as http[s]://host[:port]/path"#),
    Wrong(
      #"{get: "http://other.test?x=1"}"#,
      #"3:7: the path '?x=1' does not begin with /: write /?x=1"#),
    Wrong(
      (0..<16).map { "{get: \"http://h\($0).test/\"}" }.joined(separator: ", "),
      #"3:402: more than 16 hosts: name fewer, or split the scenario"#),
    Wrong(
      #"{get: ""}"#,
      #"3:7: the path '' does not begin with /: write /"#),
    Wrong(
      #"{get: /, json: {a: 1}, form: {b: 2}}"#,
      #"3:24: 'form' contradicts 'json': give one of them"#),
    Wrong(
      #"{get: /, check: {stauts: 200}}"#,
      #"3:18: 'stauts' is not a key of a check: did you mean 'status'?"#),
    Wrong(
      #"{get: /, check: {status: 99}}"#,
      #"3:26: 'status' '99' is not one: write 200, 200-399, or a list of them"#),
    Wrong(
      #"{get: /, check: {status: 200-}}"#,
      #"3:26: 'status' '200-' is not one: write 200, 200-399, or a list of them"#),
    Wrong(
      #"{get: /, check: {status: []}}"#,
      #"3:26: 'status' names no status: write status: 200"#),
    Wrong(
      #"{get: /, check: {time: 500ms}}"#,
      #"3:24: 'time' '500ms' is not a limit: write time: <500ms"#),
    Wrong(
      #"{get: "/a b"}"#,
      #"3:7: a path cannot hold ' ' as it is: write %20"#),
    Wrong(
      #"{get: /ü}"#,
      #"3:7: a path cannot hold 'ü' as it is: write %C3%BC"#),
    Wrong(
      #"{get: /, name: ""}"#,
      #"3:16: 'name' is empty: say what to count under, or leave it out"#),
    Wrong(
      #"{get: /, check: {contains: ""}}"#,
      #"3:28: 'contains' has 1 to 256 bytes"#),
    Wrong(
      #"{get: /, check: {json: {a: 1}}}"#,
      #"3:25: 'a', column 1: a JSON path begins with $, as in $.items[0].id"#),
    Wrong(
      #"{get: /, check: {json: {$..a: 1}}}"#,
      #"3:25: '$..a', column 4: '..' is not read: name each member on the way"#),
    Wrong(
      #"{get: /, check: {json: {$.a: [1]}}}"#,
      #"3:30: a JSON check compares with one value, this is a list"#),
    Wrong(
      #"{get: /, check: {has: [token]}}"#,
      #"3:24: 'token' is not captured: there is none; write capture: {token: $.path} at a request"#),
    Wrong(
      #"{get: /, check: {has: token}}"#,
      #"3:23: 'has' must be a list, [ITEM, …], this is 'token'"#),
    Wrong(
      #"{get: "/p/${itn(1,2)}"}"#,
      #"3:11: 'itn' is not a function: did you mean 'int'?"#),
    Wrong(
      #"{get: "/p/${int(5,1)}"}"#,
      #"3:11: 'int(5,1)' does not fit: write ${int(1,100)}, from small to large"#),
    Wrong(
      #"{get: "/p/${int(1)}"}"#,
      #"3:11: 'int(1)' does not fit: write ${int(1,100)}, from small to large"#),
    Wrong(
      #"{get: "/p/${float(1,x)}"}"#,
      #"3:11: 'float(1,x)' does not fit: write ${float(0.5,9.5,2)}, from small to large with up to 9 decimals"#
    ),
    Wrong(
      #"{get: "/p/${hex(0)}"}"#,
      #"3:11: 'hex(0)' does not fit: write ${hex(8)}, up to 4096"#),
    Wrong(
      #"{get: "/p/${now(us)}"}"#,
      #"3:11: 'now(us)' does not fit: write ${now}, ${now(ms)} or ${now(iso)}"#),
    Wrong(
      #"{get: "/p/${choice()}"}"#,
      #"3:11: 'choice()' does not fit: write ${choice(a,b)}"#),
    Wrong(
      #"{get: "/p/${token}"}"#,
      #"3:11: 'token' is not captured, data or a function: write one of choice, float, hex, int, iteration, now, pick, seq, text, user, uuid, worker"#
    ),
    Wrong(
      #"{get: "/p/${uuid"}"#,
      #"3:11: '${' without its '}': close it, or write $${ for a literal ${"#),
    Wrong(
      #"{get: "/p/${}"}"#,
      #"3:11: '${}' has no name: write it as ${name}"#),
    Wrong(
      #"{get: "/p/${int(1,2}"}"#,
      #"3:11: '${int(1,2}' has no ')': write it as ${name(...)}"#),
    Wrong(
      #"{get: "/p/${int(1,2)x}"}"#,
      #"3:11: '${int(1,2)x}': nothing expected after the ')' but a :format"#),
    Wrong(
      #"{get: "/p/${uuid:hex}"}"#,
      #"3:11: 'hex' is not a format: write :url, :base64, :json, or a width such as :6"#),
    Wrong(
      #"{get: "/p/${uuid:-x}"}"#,
      #"3:11: only ${env.X} and ${var.X} have a value to fall back on"#),
    Wrong(
      #"{get: "/p/${env.NOT_THERE}"}"#,
      #"3:11: the environment has no 'NOT_THERE': set it, or write ${env.NOT_THERE:-value}"#),
    Wrong(
      #"{get: "/p/${var.id}"}"#,
      #"3:11: nothing sets 'id': give --set id=VALUE, or write ${var.id:-value}"#),
    Wrong(
      #"{get: "/p/${pick(a)}", capture: {a: $.a}}"#,
      #"3:11: 'a' is one value: capture it with take: all or collect, or write ${a}"#),
    Wrong(
      #"{get: "/p/${pick(a,b)}"}"#,
      #"3:11: 'pick(a,b)' does not fit: write ${pick(name)} of a list"#),
    Wrong(
      #"{get: /, capture: {token: $.a}}"#,
      #"3:20: 'token' is captured and never used: use it or take it out"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, header: X}}}"#,
      #"3:41: 'header' contradicts 'json': give one of them"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {take: random}}}"#,
      #"3:29: a capture says where: json, header, cookie, between or regex"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {regex: "a.*"}}}"#,
      #"3:37: 'regex' 'a.*', column 4: what is to be taken stands in a group, as in id=(\d+)"#
    ),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, take: all}}}"#,
      #"3:9: 'a' is a list: write ${pick(a)}, or 'each: a' around the step"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, take: some}}}"#,
      #"3:47: 'some' is not something to take: write one of all, first, last, random"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, keep: 3}}}"#,
      #"3:47: 'keep' says how many of take: all"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, collect: 900, max: 100}}}"#,
      #"3:26: 900 values of 100 bytes are more than 64 KiB: keep fewer"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {header: X, take: random}}}"#,
      #"3:41: only json has several to take from"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {header: X, as: raw}}}"#,
      #"3:45: 'as' says that JSON is taken as it stands: write as: raw, with json"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, as: text}}}"#,
      #"3:45: 'as' says that JSON is taken as it stands: write as: raw, with json"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, max: 0}}}"#,
      #"3:46: 'max' '0': outside of 1 to 16384"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {json: $.a, max: 1m}}}"#,
      #"3:46: 'max' '1m': outside of 1 to 16384"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {between: [x]}}}"#,
      #"3:39: 'between' has two texts: write between: ['before', 'after']"#),
    Wrong(
      #"{get: "/${a}", capture: {a: {between: [x, ""]}}}"#,
      #"3:39: each text of 'between' has 1 to 256 bytes"#),
    Wrong(
      #"{get: "/${a}", capture: {a: items}}"#,
      #"3:29: 'items', column 1: a JSON path begins with $, as in $.items[0].id"#),
    Wrong(
      #"{get: "/${a}", capture: {a: "$.items[x]"}}"#,
      #"3:29: '$.items[x]', column 9: expected a number, '*' or a name in quotes"#),
    Wrong(
      #"{get: "/${a}", capture: {a: "$.items[1"}}"#,
      #"3:29: '$.items[1', column 10: expected ]"#),
    Wrong(
      #"{get: "/${a}", capture: {a: $.}}"#,
      #"3:29: '$.', column 3: expected a member's name"#),
    Wrong(
      #"{get: "/${a}", capture: {a: "$.*"}}"#,
      #"3:29: '$.*', column 4: '*' stands for elements only: write [*]"#),
    Wrong(
      #"{get: "/${a}", capture: {a: $.x, a: $.y}}"#,
      #"3:34: 'a' is captured twice in one step: take one out"#),
    Wrong(
      #"{get: "/${uuid}", capture: {uuid: $.x}}"#,
      #"3:29: 'uuid' means something already: take another name"#),
    Wrong(
      #"{get: "/", capture: {"a b": $.x}}"#,
      #"3:22: 'a b' is not a name: use letters, digits, _ and -"#),
    Wrong(
      #"{head: "/${a}", capture: {a: $.x}}"#,
      #"3:8: an answer to HEAD has no body to check or capture from: use get"#),
    Wrong(
      #"{get: /, timeout: 0}"#,
      #"3:19: a timeout of 0 lets nothing be answered: write 10s"#),
    Wrong(
      #"{get: /, timeout: soon}"#,
      #"3:19: 'timeout' 'soon': expected a duration such as 10s, 1m30s, 250ms or 50us"#),
    Wrong(
      #"{get: /, redirects: 11}"#,
      #"3:21: 'redirects' '11': outside of 0 to 10"#
    ),
    Wrong(
      #"{get: /, else: stop}"#,
      #"3:16: 'stop' is not something to do when a check fails: write one of continue, next iteration, stop user"#
    ),
    Wrong(
      #"{get: /, headers: {"X Y": 1}}"#,
      #"3:27: the header name "X Y" is not a token: use letters, digits and hyphens"#),
    Wrong(
      #"{get: /, headers: {X: "a\nb"}}"#,
      #"3:23: the value of the header "X" holds a line feed: take it out"#),
    Wrong(
      #"{get: /, headers: {Content-Length: 5}}"#,
      #"3:36: the header "Content-Length" is set from the body: leave it out"#),
    Wrong(
      #"{get: /, headers: {a: 1, A: 2}}"#,
      #"3:26: the header 'A' is given twice: take one out"#),
    Wrong(
      #"{get: /, headers: [a]}"#,
      #"3:19: 'headers' must be a mapping, KEY: VALUE, this is a list"#),
    Wrong(
      #"{get: /, auth: {basic: [a]}}"#,
      #"3:24: 'basic' has two words: write basic: [name, password]"#),
    Wrong(
      #"{get: /, auth: {basic: ["a:b", c]}}"#,
      #"3:25: a name with a colon cannot be told from its password: leave the colon out (RFC 7617 2)"#
    ),
    Wrong(
      #"{get: /, auth: {basic: ["${user}", c]}}"#,
      #"3:26: the name must be known before the run: only ${env.X} and ${var.X} may stand in it"#),
    Wrong(
      #"{get: /, auth: {bearer: x}}"#,
      #"3:17: 'bearer' is not a key of 'auth': write 'basic'"#),
    Wrong(
      #"{get: /, auth: {basic: [a, b]}, headers: {Authorization: x}}"#,
      #"3:16: 'auth' contradicts the header Authorization: give one of them"#),
    Wrong(
      #"{get: /, body: {file: gone.bin}}"#,
      #"3:23: the file 'gone.bin' cannot be read: name one that is there, by its path from this file"#
    ),
    Wrong(
      #"{get: /, body: x}"#,
      #"3:16: 'body' must be a mapping, KEY: VALUE, this is 'x'"#),
    Wrong(
      #"{post: /, multipart: {}}"#,
      #"3:22: 'multipart' is empty: write multipart: {title: x, doc: {file: a.pdf}}"#),
    Wrong(
      #"{post: /, multipart: {a: {type: text/plain}}}"#,
      #"3:26: 'file' is missing: write {file: a.pdf, type: application/pdf}"#),
    Wrong(
      #"{post: /, multipart: {a: {file: none.pdf}}}"#,
      #"3:33: the file 'none.pdf' cannot be read: name one that is there, by its path from this file"#
    ),
    Wrong(
      #"{post: /, json: {a: 1, a: 2}}"#,
      #"3:24: the member 'a' is given twice: take one out"#),
    Wrong(
      #"{get: /, name: "/p/${int(1,2)}"}"#,
      #"3:16: a name groups requests, so nothing in it can vary: take the '${' out"#),
    Wrong(
      #"{get: /, query: [a]}"#,
      #"3:17: 'query' must be a mapping, KEY: VALUE, this is a list"#),
    Wrong(
      #"{think: none}"#,
      #"3:9: a step that thinks of nothing: take it out"#),
    Wrong(
      #"{think: 5x}"#,
      #"3:9: 'think' '5x': unknown unit 'x', use ns, us, ms, s, m, h or d; write 2s, 1s..5s, exp 2s"#
    ),
    Wrong(
      #"{think: 5s..1s}"#,
      #"3:9: 'think' '5s..1s': goes from small to large; write 2s, 1s..5s, exp 2s"#),
    Wrong(
      #"{think: pace 1s}"#,
      #"3:9: 'think' 'pace 1s': only a user has a pace, a step thinks for a time; write 2s, 1s..5s, exp 2s"#
    ),
    Wrong(
      #"{think: 1s, do: []}"#,
      #"3:13: 'do' is not a key of a think step: write 'think'"#),
    Wrong(
      #"{chance: 30, do: [{get: /}]}"#,
      #"3:10: 'chance' '30' is not above 0% and below 100%: write chance: 30%"#),
    Wrong(
      #"{chance: 100%, do: [{get: /}]}"#,
      #"3:10: 'chance' '100%' is not above 0% and below 100%: write chance: 30%"#),
    Wrong(
      #"{chance: 30%}"#,
      #"3:1: 'chance' has no steps: give them with do"#),
    Wrong(
      #"{chance: 30%, do: []}"#,
      #"3:19: 'do' has no steps: give at least one"#),
    Wrong(
      #"{repeat: 0, do: [{get: /}]}"#,
      #"3:10: 'repeat' '0' is not a number up to 65535: write repeat: 3, or repeat: 1..3"#),
    Wrong(
      #"{repeat: 3..1, do: [{get: /}]}"#,
      #"3:10: 'repeat' '3..1' goes from small to large: write repeat: 1..3"#),
    Wrong(
      #"{if: token, do: [{get: /}]}"#,
      #"3:6: 'if' asks whether something was captured: write 'if: ${name}'"#),
    Wrong(
      #"{if: "${token}", do: [{get: /}]}"#,
      #"3:7: 'token' is not captured, data or a function: write one of choice, float, hex, int, iteration, now, pick, seq, text, user, uuid, worker"#
    ),
    Wrong(
      #"{use: login}"#,
      #"3:7: 'login' is not a block under 'steps': there is none; write it there, as in steps: {login: [{get: /}]}"#
    ),
    Wrong(
      #"{each: items, do: [{get: /}]}"#,
      #"3:8: 'items' is not captured: there is none; write capture: {items: $.path} at a request"#),
    Wrong(
      #"{each: a, do: [{get: "/${a}", capture: {a: $.a}}]}"#,
      #"3:8: 'a' is one value: capture it with take: all, or collect"#),
    Wrong(
      #"{each: a, do: [{get: "/${a}", capture: {a: {json: $.a, take: all}}}]}"#,
      #"3:41: 'each' goes over 'a': capture it elsewhere"#),
    Wrong(
      #"{each: a, do: [{each: a, do: [{get: /, capture: {a: {json: $.a, take: all}}}]}]}"#,
      #"3:23: 'each' goes over 'a' already"#),
    Wrong(
      #"{get: /, until: {status: 200}}"#,
      #"3:17: 'at_most' is missing: it says how often, as in at_most: 20"#),
    Wrong(
      #"{get: /, until: {at_most: 3}}"#,
      #"3:17: 'until' awaits nothing: write until: {json: {$.done: true}, at_most: 20}"#),
    Wrong(
      #"{get: /, until: {status: 200, at_most: 1}}"#,
      #"3:40: 'at_most' '1': outside of 2 to 1000"#),
    Wrong(
      #"{get: /, do: [{get: /}]}"#,
      #"3:10: 'do' is not a key of a request: write one of auth, body, capture, check, delete, else, form, get, head, headers, json, multipart, name, options, patch, post, put, query, redirects, text, timeout, until"#
    ),
    Wrong(
      #"get"#,
      #"3:1: a step must be a mapping, KEY: VALUE, this is 'get'"#),
    Wrong(
      #"{repeat: 2, do: [{repeat: 2, do: [{repeat: 2, do: [{repeat: 2, do: [{repeat: 2, do: [{get: /}]}]}]}]}]}"#,
      #"3:78: more than 4 loops within one another"#),
  ]

  static let documents: [Wrong] = [
    Wrong(
      #"{}"#,
      #"1:1: 'squall: 1' is missing: it says which grammar the file is written in"#),
    Wrong(
      #"[]"#,
      #"1:1: a scenario must be a mapping, KEY: VALUE, this is a list"#),
    Wrong(
      #"{squall: 2}"#,
      #"1:10: this squall reads version 1, not '2'"#),
    Wrong(
      #"{squall: 1, users: {a: {do: [{get: /}]}}}"#,
      #"1:1: 'target' is missing: write it as http://host[:port], or give --host"#),
    Wrong(
      #"{squall: 1, target: "ftp://x"}"#,
      #"1:21: the scheme "ftp" is not supported: write the target as http[s]://host[:port]/path"#),
    Wrong(
      #"{squall: 1, target: "http://x/path", users: {a: {do: [{get: /}]}}}"#,
      #"1:21: 'target' ends with the host: write the path in the steps"#),
    Wrong(
      #"{squall: 1, target: "http://${env.GONE}", users: {a: {do: [{get: /}]}}}"#,
      #"1:29: the environment has no 'GONE': set it, or write ${env.GONE:-value}"#),
    Wrong(
      #"{squall: 1, target: "http://${int(1,2)}", users: {a: {do: [{get: /}]}}}"#,
      #"1:29: 'target' must be known before the run: only ${env.X} and ${var.X} may stand in it"#),
    Wrong(
      #"{squall: 1, target: "http://x"}"#,
      #"1:1: 'users' is missing: it says who does what"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {}}"#,
      #"1:40: 'users' is empty: name at least one"#),
    Wrong(
      #"{squall: 1, target: "http://x", user: {}}"#,
      #"1:33: 'user' is not a key of a scenario: did you mean 'users'?"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}], weigth: 2}}}"#,
      #"1:61: 'weigth' is not a key of a user: did you mean 'weight'?"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}, a: {do: [{get: /}]}}}"#,
      #"1:62: the user 'a' is there twice: give each its own name"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}], weight: 0}}}"#,
      #"1:40: no user has a weight above 0, so nobody would do anything"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}], weight: 1, fixed: 1}}}"#,
      #"1:72: 'fixed' contradicts 'weight': give one of them"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}], weight: heavy}}}"#,
      #"1:69: 'weight' 'heavy': expected a number such as 500, 10k or 2.5m"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {think: 1s}}}"#,
      #"1:44: the user 'a' does nothing: give it tasks, or a sequence with do"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {tasks: [], think: 1s}}}"#,
      #"1:52: 'tasks' is empty: give at least one"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {tasks: [{do: [{get: /}]}]}}}"#,
      #"1:53: a task has no name: begin it with '- task: NAME'"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {tasks: [{task: x}]}}}"#,
      #"1:53: the task 'x' does nothing: give it steps with do"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {tasks: [{task: x, weight: 0, do: [{get: /}]}]}}}"#,
      #"1:71: a task of weight 0 is never reached: take it out"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {tasks: [{task: x, do: [{get: /}]}, {task: x, do: [{get: /}]}]}}}"#,
      #"1:81: the task 'x' is there twice: give each its own name"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}], tasks: []}}}"#,
      #"1:61: 'tasks' contradicts 'do': give one of them"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}], row: accounts}}}"#,
      #"1:66: 'accounts' is not a data table: there is none; write data: {accounts: {file: accounts.csv}}"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", data: {words: {list: [a]}}, users: {a: {do: [{get: /}]}}}"#,
      #"1:40: the data 'words' is never used: use it or take it out"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {words: {list: []}}, users: {a: {do: [{get: "/${words}"}]}}}"#,
      #"1:54: the data 'words' has no rows"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {words: {}}, users: {a: {do: [{get: "/${words}"}]}}}"#,
      #"1:47: the data 'words' has no rows: give a file or a list"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {words: {list: [a], pick: some}}, users: {a: {do: [{get: "/${words}"}]}}}"#,
      #"1:65: 'some' is not a way to pick: write one of random, sequential, shuffle, unique"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {words: {file: gone.csv}}, users: {a: {do: [{get: "/${words.x}"}]}}}"#,
      #"1:54: the file 'gone.csv' cannot be read: name one that is there, by its path from this file"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", data: {rows: {file: a.csv}}, users: {a: {do: [{get: "/${rows.nmae}"}]}}}"#,
      #"1:87: 'rows.nmae' is not captured, data or a function: did you mean 'rows.name'?"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {rows: {file: a.csv}}, users: {a: {do: [{get: "/${rows}"}]}}}"#,
      #"1:87: the data 'rows' has columns: write ${rows.name}"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", data: {rows: {file: bad.csv}}, users: {a: {do: [{get: "/${rows.name}"}]}}}"#,
      #"1:53: row 1 of 'bad.csv' has 1 cells, its first line names 2 columns"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {rows: {file: bad.jsonl}}, users: {a: {do: [{get: "/${rows.name}"}]}}}"#,
      #"1:53: line 1 of 'bad.jsonl' is not JSON at line 1, column 11: expected ','"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {rows: {file: a.txt}}, users: {a: {do: [{get: "/${rows.name}"}]}}}"#,
      #"1:53: the file 'a.txt' is neither .csv nor .jsonl, so its rows cannot be told"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {rows: {file: a.csv, pick: unique}}, users: {a: {do: [{get: "/${rows.name}"}]}}, load: {users: {stages: [{to: 3, over: 1s}]}}}"#,
      #"1:40: 3 users need a row each and 'rows' has 2: add rows, or pick sequential"#),
    Wrong(
      #"{squall: 1, target: "http://x", steps: {login: [{get: /}]}, users: {a: {do: [{get: /}]}}}"#,
      #"1:41: the block 'login' is never used: write '- use: login', or take it out"#),
    Wrong(
      #"{squall: 1, target: "http://x", steps: {login: [{use: login}]}, users: {a: {do: [{use: login}]}}}"#,
      #"1:55: the block 'login' uses itself: login -> login"#),
    Wrong(
      #"{squall: 1, target: "http://x", steps: {login: [{get: /}], login: []}, users: {a: {do: [{use: login}]}}}"#,
      #"1:60: the block 'login' is there twice, first in line 1"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: "/${t}"}]}, b: {do: [{get: /, capture: {t: $.a}}, {get: "/${t}"}]}}}"#,
      #"1:58: no step of the user 'a' captures 't': capture it before it is used"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {}}"#,
      #"1:69: 'load' is empty: say how many users, or how many iterations"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {iterations: {rate: 5}}}"#,
      #"1:82: 'max' is missing: it says how many users do them, as in users: {max: 500}"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {iterations: {users: {max: 5}}}}"#,
      #"1:82: 'rate' is missing: it says how many begin, as in rate: 50/s"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {iterations: {rate: 0, users: {max: 5}}}}"#,
      #"1:89: at this rate no iteration ever begins: write rate: 50/s"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {iterations: {rate: 5, arrival: random, users: {max: 5}}}}"#,
      #"1:101: 'random' is not a way to arrive: write one of poisson, uniform"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {users: {stages: [{to: 5, over: 1s}]}, iterations: {rate: 5, users: {max: 5}}}}"#,
      #"1:108: 'iterations' contradicts 'users': give one of them"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {users: {stages: [{to: 5}]}}}"#,
      #"1:87: a stage is {to: USERS, over: TIME} or {for: TIME}"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {users: {stages: [{for: 5s}]}}}"#,
      #"1:86: these stages never have a user: begin with {to: 50, over: 10s}"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {users: {stages: [{for: 5s, to: 5}]}}}"#,
      #"1:93: a stage either goes to a number over a time, or holds it for one"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, slo: [{name: login, is: "p99<1s"}]}"#,
      #"1:76: 'login' is not a name of this scenario: write 'GET /'"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, slo: [{is: "p99<1s"}]}"#,
      #"1:69: an objective of everything is a text alone: write "p99<1s""#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, slo: [{tag: read, is: "p99<1s"}]}"#,
      #"1:75: 'read' is not a tag of this scenario: there is none; a task has them, as in tags: [read]"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, setup: [{get: /, capture: {t: $.t}}]}"#,
      #"1:90: 't' is captured and never used: use it or take it out"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: "/${t}", capture: {t: $.t}}]}}, setup: [{get: "/${t}"}]}"#,
      #"1:104: no step of 'setup' captures 't': capture it before it is used"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: "/${pick(t)}"}]}}, setup: [{get: /, capture: {t: {json: $.t, take: all}}}]}"#,
      #"1:82: 't' is a list, and setup gives single values to users: take one"#),
    Wrong(
      #"{squall: 1, target: "http://x", include: [a.yaml]}"#,
      #"1:43: the file 'a.yaml' cannot be read: name one that is there, by its path from this file"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", defaults: {cookies: yes}, users: {a: {do: [{get: /}]}}}"#,
      #"1:53: 'cookies' must be true or false, this is 'yes'"#),
    Wrong(
      #"{squall: 1, target: "http://x", defaults: {cookies: false}, users: {a: {do: [{get: "/${c}", capture: {c: {cookie: x}}}]}}}"#,
      #"1:115: the defaults say cookies: false, so there is no jar to take from"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, connections: shared}"#,
      #"1:76: 'connections' is own, one for each user, or shared N, such as connections: shared 500"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, connections: shared none}"#,
      #"1:76: 'connections: shared' 'none': expected a number such as 500, 10k or 2.5m"#),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {requests: {rate: 50}}}"#,
      #"1:80: 'max' is missing: it says how many users do them, as in users: {max: 500}"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}, {think: 1s}]}}, load: {requests: {rate: 50}}}"#,
      #"1:93: an iteration of 'a' is more than one request: what begins at a rate are then iterations: {rate: 50/s, users: {max: 500}}"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {users: 5, requests: {rate: 50}}}"#,
      #"1:77: 'requests' at a rate says how often: give it alone"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {requests: 5, iterations: {rate: 5, users: {max: 1}}}}"#,
      #"1:70: 'requests' contradicts 'iterations', whose rate says how many there are: end them with stages, or with -d"#
    ),
    Wrong(
      #"{squall: 1, target: "http://x", users: {a: {do: [{get: /}]}}, load: {users: 0}}"#,
      #"1:77: 'users' '0': outside of 1 to 1000000"#),
    Wrong(
      #"{squall: 1, target: "http://x", data: {l: {list: [a]}}, users: {a: {do: [{get: "/${l.x}"}]}}}"#,
      #"1:82: the data 'l' is a list: write ${l}"#),
    Wrong(
      #"{squall: 1, target: "http://x", defaults: {header: {a: b}}, users: {a: {do: [{get: /}]}}}"#,
      #"1:44: 'header' is not a key of 'defaults': did you mean 'headers'?"#),
  ]
}
