internal import SquallLoad
internal import SquallReport

/// What the web port can be asked, as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1) describes it.
enum OpenAPI {
  static let document: JSONValue = .object([
    .init("openapi", .string("3.1.0")),
    .init(
      "info",
      .object([
        .init("title", .string("squall")),
        .init("version", .string(Build.version)),
        .init(
          "description",
          .string(
            "Runs of a squall: start, stop, watch, look back, compare. What changes something needs "
              + "the content type application/json, and no Origin but this one. On an address that "
              + "others can reach each request needs the token as a bearer, or the cookie of a session."
          )),
      ])),
    .init(
      "components",
      .object([
        .init(
          "schemas",
          .object([
            .init("Problem", problem), .init("Figures", figures), .init("Run", run),
            .init("Order", order), .init("Change", change), .init("Result", RunResult.jsonSchema),
            .init("Plan", PlanSummary.jsonSchema), .init("Annotation", RunAnnotation.jsonSchema),
            .init("View", object(["schema": string, "result": any, "columns": list(any)])),
            .init("Comparison", object(["schema": string, "metrics": list(any)])),
          ])),
        .init(
          "securitySchemes",
          .object([
            .init(
              "token",
              .object([.init("type", .string("http")), .init("scheme", .string("bearer"))])),
            .init(
              "session",
              .object([
                .init("type", .string("apiKey")), .init("in", .string("cookie")),
                .init("name", .string("squall")),
              ])),
          ])),
      ])),
    .init(
      "security",
      .array([
        .object([]), .object([.init("token", .array([]))]),
        .object([.init("session", .array([]))]),
      ])),
    .init("paths", .object(paths.map { .init($0.path, .object($0.operations)) })),
  ])

  /// Those that a path takes, of which the page's files are not described; none for no path of ours.
  static func methods(of path: String) -> [String] {
    if path == "/" { return ["GET"] }
    let words = path.split(separator: "/")
    if words.count == 2, words[0] == "assets" { return ["GET"] }
    let found = paths.filter { described in
      let parts = described.path.split(separator: "/")
      return parts.count == words.count
        && zip(parts, words).allSatisfy { $0 == $1 || $0.hasPrefix("{") }
    }
    let names = found.flatMap { $0.operations.map { $0.name.uppercased() } }
    return Set(names).sorted()
  }

  private static let paths: [(path: String, operations: [JSONValue.Member])] = [
    (
      "/api/status",
      [get("What goes on now", "status", answer(200, "The figures", ref("Figures")))]
    ),
    (
      "/api/live",
      [
        get(
          "Figures as server-sent events: one a second, and the last one of each run. Each has the "
            + "members of /api/status with the workers counted by state, and view, fleet and log",
          "live", answer(200, "Events", string, type: "text/event-stream"))
      ]
    ),
    (
      "/api/log",
      [
        get(
          "What was told of late", "log",
          answer(200, "Lines", object(["lines": list(any)])))
      ]
    ),
    (
      "/api/start",
      [
        post(
          "Begins a run: of an empty object, that of the command line", "start", ref("Order"),
          answer(202, "It begins", ref("Figures")))
      ]
    ),
    (
      "/api/change",
      [
        post(
          "Changes the load of the run that goes on, at one instant for all workers and some half a "
            + "second from now. What is left out stays; what is asked for before an earlier change is "
            + "in force takes its place. The answer's member asked is the change while it has no "
            + "instant, and changes are those that have one", "change", ref("Change"),
          answer(202, "It will be", ref("Figures")))
      ]
    ),
    (
      "/api/stop",
      [
        post(
          "Ends the load of the run that goes on", "stop", object([:]),
          answer(202, "It ends", ref("Figures")))
      ]
    ),
    (
      "/api/check",
      [
        post(
          "Whether a run can be. A problem names the member it is about, and of a scenario line and "
            + "column", "check", ref("Order"),
          answer(
            200, "It can be", object(["plan": ref("Plan"), "slo": list(string)])))
      ]
    ),
    (
      "/api/preview",
      [
        post(
          "Sends one request of each name and tells both sides", "preview", ref("Order"),
          answer(200, "Both sides as text", object(["text": string])))
      ]
    ),
    (
      "/api/form",
      [
        get(
          "The run of the command line as start takes it; null where there is none or a form cannot say it",
          "form", answer(200, "What was asked", object(["order": any])))
      ]
    ),
    (
      "/api/runs",
      [
        get(
          "Every run, newest first", "runs",
          answer(200, "Runs", object(["runs": list(ref("Run"))])))
      ]
    ),
    (
      "/api/runs/{id}",
      [
        get(
          "Its result; of a run that goes on, by now", "run",
          answer(200, "The result", ref("Result")), [id]),
        operation(
          "patch", "Puts labels or a note beside it", "annotate", [id], body: ref("Annotation"),
          answer(200, "As it was sent", ref("Annotation"))),
        operation(
          "delete", "Takes it out of the record", "forget", [id], body: nil,
          ("204", .object([.init("description", .string("It is gone"))]))),
      ]
    ),
    (
      "/api/runs/{id}/summary",
      [
        get(
          "Its line in the list", "summary", answer(200, "The line", ref("Run")), [id])
      ]
    ),
    (
      "/api/runs/{id}/order",
      [
        get(
          "What it was asked with, as start takes it; null where it is not kept", "order",
          answer(200, "What was asked", object(["order": any])), [id])
      ]
    ),
    (
      "/api/runs/{id}/view",
      [
        get(
          "As pages draw it: squall.view/1", "view", answer(200, "The view", ref("View")), [id])
      ]
    ),
    (
      "/api/runs/{id}/{form}",
      [
        get(
          "In a form of output", "form",
          (
            "200",
            .object([
              .init("description", .string("As squall run writes it")),
              .init(
                "content",
                .object([.init("*/*", .object([.init("schema", .object([]))]))])),
            ])
          ),
          [
            id,
            parameter(
              "form", in: "path",
              .object([
                .init("type", .string("string")),
                .init(
                  "enum",
                  .array(ControlPort.Form.allCases.map { .string($0.rawValue) })),
              ])),
          ])
      ]
    ),
    (
      "/api/compare",
      [
        get(
          "Whether two runs differ, or the two sides of pairs A,B,A,B", "compare",
          answer(200, "squall.comparison/1", ref("Comparison")),
          compared("^[0-9a-f]{16},[0-9a-f]{16}(,[0-9a-f]{16},[0-9a-f]{16}){0,15}$"))
      ]
    ),
    (
      "/api/comparisons",
      [
        get(
          "Whether runs differ: each against the first", "comparisons",
          answer(
            200, "One for each but the first", object(["comparisons": list(ref("Comparison"))])),
          compared("^[0-9a-f]{16}(,[0-9a-f]{16}){1,31}$"))
      ]
    ),
    (
      "/api/session",
      [
        get(
          "Whether somebody has to sign in, and has", "session",
          answer(
            200, "It", object(["needs_token": boolean, "is_signed_in": boolean]))),
        operation(
          "post", "Gives a cookie for the token", "sign-in", [],
          body: object(["token": string]),
          ("204", .object([.init("description", .string("Signed in"))]))),
        operation(
          "delete", "Takes the cookie away", "sign-out", [], body: nil,
          ("204", .object([.init("description", .string("Signed out"))]))),
      ]
    ),
    (
      "/metrics",
      [
        get(
          "For Prometheus", "metrics",
          answer(200, "Version 0.0.4 of the text format", string, type: "text/plain"))
      ]
    ),
    (
      "/api/openapi.json",
      [get("This document", "openapi", answer(200, "OpenAPI", any))]
    ),
  ]

  // MARK: Operations

  private typealias Answered = (status: String, description: JSONValue)

  private static func operation(
    _ method: String, _ summary: String, _ name: String, _ parameters: [JSONValue],
    body: JSONValue?, _ answered: Answered
  ) -> JSONValue.Member {
    var members: [JSONValue.Member] = [
      .init("summary", .string(summary)), .init("operationId", .string(name)),
      .init("parameters", .array(parameters)),
    ]
    if let body {
      members.append(
        .init(
          "requestBody",
          .object([
            .init("required", .bool(true)),
            .init(
              "content",
              .object([.init("application/json", .object([.init("schema", body)]))])),
          ])))
    }
    members.append(
      .init(
        "responses",
        .object([
          .init(answered.status, answered.description),
          .init(
            "default",
            answer(0, "Why not, in a sentence", ref("Problem"), type: "application/problem+json")
              .description),
        ])))
    return .init(method, .object(members))
  }

  private static func get(
    _ summary: String, _ name: String, _ answered: Answered, _ parameters: [JSONValue] = []
  ) -> JSONValue.Member {
    operation("get", summary, name, parameters, body: nil, answered)
  }

  private static func post(
    _ summary: String, _ name: String, _ body: JSONValue, _ answered: Answered
  ) -> JSONValue.Member {
    operation("post", summary, name, [], body: body, answered)
  }

  private static func answer(
    _ status: Int, _ words: String, _ schema: JSONValue, type: String = "application/json"
  ) -> Answered {
    (
      "\(status)",
      .object([
        .init("description", .string(words)),
        .init("content", .object([.init(type, .object([.init("schema", schema)]))])),
      ])
    )
  }

  private static func parameter(
    _ name: String, in place: String, _ schema: JSONValue, isRequired: Bool = true
  ) -> JSONValue {
    .object([
      .init("name", .string(name)), .init("in", .string(place)),
      .init("required", .bool(isRequired)), .init("schema", schema),
    ])
  }

  /// Of comparisons: the runs, and whether their plans may differ.
  private static func compared(_ pattern: String) -> [JSONValue] {
    [
      parameter(
        "runs", in: "query",
        .object([.init("type", .string("string")), .init("pattern", .string(pattern))])),
      parameter(
        "accept_different_plans", in: "query",
        .object([.init("type", .string("boolean"))]), isRequired: false),
    ]
  }

  private static let id = parameter(
    "id", in: "path",
    .object([.init("type", .string("string")), .init("pattern", .string("^[0-9a-f]{16}$"))]))

  // MARK: Schemas

  private static let any = JSONValue.object([])
  private static let string = JSONValue.object([.init("type", .string("string"))])
  private static let boolean = JSONValue.object([.init("type", .string("boolean"))])
  private static let integer = JSONValue.object([.init("type", .string("integer"))])
  private static let texts = JSONValue.object([
    .init("type", .string("object")), .init("additionalProperties", string),
  ])
  /// As it is typed after a flag, or a number.
  private static let quantity = JSONValue.object([
    .init("type", .array([.string("string"), .string("number")])), .init("minimum", .integer(0)),
  ])
  private static let arrival = JSONValue.object([
    .init("type", .string("string")),
    .init("enum", .array([.string("uniform"), .string("poisson")])),
  ])

  private static func orNull(_ type: String) -> JSONValue {
    .object([.init("type", .array([.string(type), .string("null")]))])
  }

  private static func about(_ words: String, _ schema: JSONValue) -> JSONValue {
    guard case .object(let members) = schema else { return schema }
    return .object(members + [.init("description", .string(words))])
  }

  private static func ref(_ name: String) -> JSONValue {
    .object([.init("$ref", .string("#/components/schemas/\(name)"))])
  }

  private static func list(_ items: JSONValue) -> JSONValue {
    .object([.init("type", .string("array")), .init("items", items)])
  }

  /// An object that has these members, and perhaps others.
  private static func object(
    _ members: KeyValuePairs<String, JSONValue>, isOpen: Bool = true
  ) -> JSONValue {
    .object([
      .init("type", .string("object")),
      .init("properties", .object(members.map { .init($0, $1) })),
      .init("required", .array(isOpen ? members.map { .string($0.key) } : [])),
      .init("additionalProperties", .bool(isOpen)),
    ])
  }

  private static let problem = object([
    "title": string, "status": integer, "detail": string,
  ])

  private static let figures = object([
    "state": string, "run": any, "elapsed_ns": any, "workers_ready": integer,
    "workers": any, "totals": any, "recent": any, "target": any, "changes": list(any),
    "asked": any,
  ])

  /// What a run came to is null while it goes on, and where it does not exist.
  private static let run = object([
    "id": string, "started_at": string,
    "ended_at": about("Null while it has not ended.", orNull("string")),
    "state": .object([
      .init("type", .string("string")),
      .init("enum", .array(RecordedRunSummary.State.allCases.map { .string($0.rawValue) })),
    ]),
    "labels": texts, "note": orNull("string"), "load": string,
    "plan_hash": about("SHA-256 of the plan without its labels.", string),
    "hosts": integer,
    "requests": about(
      "Of the measured time and the drain.",
      object(["sent": integer, "ok": integer, "not_ok": integer])),
    "duration_ns": about("The measured time.", orNull("integer")),
    "ok_per_s": about("Of the measured time.", orNull("number")),
    "target_per_s": about("Null in a closed loop.", orNull("number")),
    "response_p50_ns": about("Null without an ok response.", orNull("integer")),
    "response_p99_ns": orNull("integer"),
    "not_ok_share": about("Of the attempts that ended; null when none did.", orNull("number")),
    "valid": about("The verdict.", orNull("boolean")),
    "slo_pass": about("Null without objectives.", orNull("boolean")),
  ])

  private static let change = object(
    [
      "rate": quantity, "connections": quantity, "users": quantity, "spawn_rate": quantity,
    ], isOpen: false)

  private static let order = object(
    [
      "url": string, "scenario": string, "users": quantity, "spawn_rate": quantity,
      "variables": texts, "connections": quantity, "duration": quantity,
      "requests": quantity, "rate": quantity, "stages": list(string), "arrival": arrival,
      "max_in_flight": quantity, "method": string, "headers": list(string),
      "body": string, "timeout": quantity, "deadline": quantity, "warmup": quantity,
      "ramp": quantity, "drain": quantity, "pipeline": quantity, "no_keepalive": boolean,
      "connect_timeout": quantity, "interval": quantity, "requests_per_connection": quantity,
      "seed": quantity, "slo": list(string), "labels": texts,
    ], isOpen: false)
}
