import Foundation
import Glibc
import Synchronization
import Testing

extension EndToEnd {
  /// What Prometheus would read: it parses, and its sums are the target's.
  @Suite(.serialized) struct MetricsTests {
    /// Samples by name and labels, as written; the parser takes the format's grammar and nothing else.
    struct Scrape {
      private(set) var values: [String: Double] = [:]
      private(set) var kinds: [String: String] = [:]

      init(_ text: String) throws {
        #expect(text.hasSuffix("\n"))
        let sample = try Regex(
          #"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z]+="(?:[^"\\]|\\[\\"n])*"(?:,[a-z]+="(?:[^"\\]|\\[\\"n])*")*\})? ([0-9.e+-]+)$"#
        )
        for line in text.split(separator: "\n") {
          if line.hasPrefix("# HELP ") { continue }
          if line.hasPrefix("# TYPE ") {
            let words = line.split(separator: " ")
            #expect(kinds.updateValue(String(words[3]), forKey: String(words[2])) == nil)
            continue
          }
          let match = try #require(try sample.wholeMatch(in: line), "\(line)")
          let name = String(try #require(match[1].substring))
          let family = ["_bucket", "_sum", "_count"].reduce(name) {
            $0.hasSuffix($1) ? String($0.dropLast($1.count)) : $0
          }
          #expect(kinds[name] ?? kinds[family] != nil, "\(line) has no type")
          let key = name + (match[2].substring.map(String.init) ?? "")
          let value = try #require(Double(match[3].substring ?? ""))
          #expect(values.updateValue(value, forKey: key) == nil, "\(line) comes twice")
        }
      }

      subscript(_ key: String) -> Int? { values[key].map { Int($0) } }

      func sum(_ prefix: String) -> Int {
        values.reduce(0) { $1.key.hasPrefix(prefix) ? $0 + Int($1.value) : $0 }
      }
    }

    /// A thousand requests in one second, and then none: the sums stand while the run goes on.
    private static let load = [
      "--stage", "500ms:2000", "--stage", "500ms:0", "--stage", "30s:0", "-d", "4s", "-c", "8",
      "--interval", "200ms",
    ]

    private func port(_ child: Child, before path: String) throws -> UInt16 {
      try child.run { child.errors.contains(path + "\n") }
      let text = child.errors.components(separatedBy: path + "\n")[0]
      return try #require(UInt16(text.components(separatedBy: ":").last ?? ""))
    }

    /// Reads until the last requests are counted.
    private func settled(_ port: UInt16, of child: Child, _ target: Served) throws -> Scrape {
      var text = ""
      try child.run {
        text = try fetch("/metrics", port: port)
        // Before there is a run there are no figures.
        return text.hasPrefix("#")
      }
      var scrape = try Scrape(text)
      var last = 0
      try child.run {
        scrape = try Scrape(try fetch("/metrics", port: port))
        let sum = scrape.sum("squall_requests_total")
        #expect(sum >= last, "a counter never falls")
        #expect(sum <= (try target.count()))
        last = sum
        return scrape["squall_elapsed_seconds"] ?? 0 >= 2
      }
      return scrape
    }

    private func expectSums(_ scrape: Scrape, of target: Served) throws {
      let ok = #"squall_requests_total{name="/",outcome="ok"}"#
      #expect(try target.count() == 1_000)
      #expect(scrape[ok] == 1_000)
      #expect(scrape.sum("squall_requests_total") == 1_000)
      #expect(scrape.sum("squall_errors_total") == 0)
      for family in ["squall_response_seconds", "squall_service_seconds"] {
        #expect(scrape.kinds[family] == "histogram")
        #expect(scrape[family + #"_count{name="/"}"#] == 1_000)
        #expect(scrape[family + #"_bucket{le="+Inf",name="/"}"#] == 1_000)
        #expect(scrape.values[family + #"_sum{name="/"}"#] ?? 0 > 0)
      }
      #expect(scrape["squall_connections"] == 8)
      #expect(scrape[#"squall_workers{state="running"}"#] == 2)
    }

    @Test func theSumsOfARunAreTheTargets() throws {
      let target = try Served()
      let child = try Squall.start(
        ["run", "-w", "2", "--metrics-port", "0", "--format", "json", target.url] + Self.load)
      let port = try port(child, before: "/metrics")
      try expectSums(try settled(port, of: child, target), of: target)
      #expect(try child.awaitEnd() == Child.Ending(code: 0), "\(child.errors)")
      #expect(try Measured(child.output).ok == 1_000)
    }

    @Test func theSumsOfAMasterAreTheTargetsOnBothPorts() throws {
      let cluster = try Cluster(
        Self.load + ["--metrics-port", "0"], expectWorkers: 2, isHeadless: false)
      let web = try port(cluster.master, before: "/api/status")
      let metrics = try port(cluster.master, before: "/metrics")
      #expect(try Scrape(try fetch("/metrics", port: web)).sum("squall_requests_total") == 0)
      try cluster.addAgent()
      try cluster.addAgent()
      try cluster.hear("is ready", times: 2)
      close(try ask("POST", "/api/start", port: web))
      try expectSums(try settled(web, of: cluster.master, cluster.target), of: cluster.target)
      try expectSums(try settled(metrics, of: cluster.master, cluster.target), of: cluster.target)
      for path in ["/api/status", "/api/start", "/"] {
        #expect(try Answered("GET", path, port: metrics).status == 404, "no commands there")
      }
      try cluster.expectExact()
    }

    /// One whole figure a second to whoever reads, and the last one at the end.
    @Test func liveFiguresComeAsEventsUntilTheRunEnds() throws {
      let cluster = try Cluster(
        Cluster.gentle + ["-d", "3s"], expectWorkers: 1, isHeadless: false)
      let port = try port(cluster.master, before: "/api/status")
      try cluster.addAgent()
      try cluster.hear("is ready")
      let reading = try ask("GET", "/api/live", port: port)
      // These never read, and nobody waits for them.
      let deaf = try (0..<20).map { _ in try ask("GET", "/api/live", port: port) }
      defer { for socket in deaf + [reading] { close(socket) } }
      close(try ask("POST", "/api/start", port: port))
      try cluster.expectExact()
      var text = ""
      var room = [UInt8](repeating: 0, count: 65_536)
      while case let count = recv(reading, &room, room.count, 0), count > 0 {
        text += String(decoding: room.prefix(count), as: UTF8.self)
      }
      #expect(text.contains("text/event-stream"))
      let events = try text.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("data: ") }.map
      {
        try Measured(String($0.dropFirst(6)))
      }
      #expect((3...8).contains(events.count), "\(text)")
      let last = try #require(events.last)
      #expect(last["state"] as? String == "ended")
      #expect(last.number("totals.ok") == 6_000)
      let sent = events.map { $0.number("totals.sent") }
      #expect(sent == sent.sorted())
    }

    /// The real one scrapes a run, and says what the target says.
    @Test(.enabled(if: Repository.has("/usr/bin/prometheus"), "prometheus is not installed"))
    func prometheusAnswersWithTheTotals() throws {
      let (target, folder) = (try Served(), try Folder())
      let run = try Squall.start([
        "run", "-w", "2", "--metrics-port", "0", "--format", "json", "-c", "8", "--interval",
        "200ms", "--stage", "500ms:2000", "--stage", "500ms:0", "--stage", "120s:0", "-d", "120s",
        target.url,
      ])
      let configuration = try folder.file(
        "prometheus.yml",
        """
        scrape_configs:
          - job_name: squall
            scrape_interval: 250ms
            scrape_timeout: 250ms
            static_configs:
              - targets: ["127.0.0.1:\(try port(run, before: "/metrics"))"]
        """)
      let port = try closedPort()
      let prometheus = try Child(
        "/usr/bin/prometheus",
        [
          "--config.file=" + configuration, "--storage.tsdb.path=" + folder.path + "/data",
          "--web.listen-address=127.0.0.1:\(port)", "--log.level=error",
        ])
      func value(_ query: String) throws -> Double? {
        let path = query.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        guard let answer = try? Answered("GET", "/api/v1/query?query=\(path)", port: port),
          answer.status == 200,
          let vector = try answer.json["data.result"] as? [[String: Any]],
          let sample = vector.first?["value"] as? [Any]
        else { return nil }
        return (sample.last as? String).flatMap { Double($0) }
      }
      let ok = #"sum(squall_requests_total{name="/", outcome="ok"})"#
      try prometheus.run(withinMs: 60_000) {
        try value("sum(squall_requests_total)") == 1_000
      }
      #expect(try value(ok) == 1_000)
      #expect(try value("sum(squall_response_seconds_count)") == 1_000)
      #expect(try value(#"sum(squall_workers{state="running"})"#) == 2)
      let quantile = try value(
        "histogram_quantile(0.99, sum by (le) (squall_response_seconds_bucket))")
      run.signal(SIGINT)
      try run.awaitEnd()
      let result = try Measured(run.output)
      #expect(result.ok == 1_000)
      #expect(try target.count() == 1_000)
      // Between two of the bounds it reckons, of which there are two an octave.
      let p99Ns = try #require(result["latency_ns.response.p99"] as? Int)
      let seconds = try #require(quantile)
      #expect((Double(p99Ns) * 0.6e-9...Double(p99Ns) * 1.6e-9).contains(seconds))
    }

    /// The dashboard asks for metrics and labels that there are, and for nearly all of them.
    @Test func theDashboardShowsWhatIsServed() throws {
      let target = try Served()
      let child = try Squall.start(
        ["run", "-w", "1", "--metrics-port", "0", target.url] + Self.load)
      let port = try port(child, before: "/metrics")
      let scrape = try settled(port, of: child, target)
      let served = Set(scrape.kinds.keys)
      let labels = Set(
        scrape.values.keys.flatMap { key in
          key.matches(of: /[{,]([a-z]+)="/).map { String($0.1) }
        })
      let text = try String(
        contentsOfFile: Repository.path + "/deploy/grafana/squall.json", encoding: .utf8)
      let panels = try #require(try Measured(text)["panels"] as? [[String: Any]])
      let expressions = panels.flatMap { panel in
        (panel["targets"] as? [[String: Any]] ?? []).compactMap { $0["expr"] as? String }
      }
      #expect(expressions.count >= panels.count && panels.count > 10)
      var shown: Set<String> = []
      for expression in expressions {
        for match in expression.matches(of: /squall_[a-z_]+/) {
          shown.insert(
            ["_bucket", "_sum", "_count"].reduce(String(match.output)) {
              $0.hasSuffix($1) ? String($0.dropLast($1.count)) : $0
            })
        }
        for match in expression.matches(of: /by \(([a-z, ]+)\)|[{,]([a-z]+)(?:=~|=|!=)/) {
          for label in (match.1 ?? match.2 ?? "").split(separator: ",") {
            let label = label.drop { $0 == " " }
            #expect(label == "instance" || labels.contains(String(label)), "\(expression)")
          }
        }
      }
      // A run has users or connections, and an interval without a request has no lag.
      #expect(
        shown.subtracting(served).isSubset(of: ["squall_users", "squall_schedule_lag_seconds"]))
      #expect(served.subtracting(shown).isSubset(of: ["squall_elapsed_seconds"]), "\(served)")
      child.signal(SIGINT)
      try child.awaitEnd()
    }

    // MARK: Pushed

    /// What came to an OpenTelemetry receiver, oldest first.
    struct Receiver {
      private final class Seen: Sendable {
        let pushes = Mutex<[(head: String, body: String)]>([])
      }

      let server: Scripted
      private let seen: Seen

      /// The first answers have these statuses, and all others 200.
      init(statuses: [Int] = []) throws {
        let seen = Seen()
        self.seen = seen
        server = try Scripted { connection, _ in
          guard let head = connection.head(),
            let length = head.components(separatedBy: "Content-Length: ").last
              .flatMap({ Int($0.prefix { $0.isNumber }) }),
            let body = connection.take(length)
          else { return }
          let number = seen.pushes.withLock { pushes in
            pushes.append((head, String(decoding: body, as: UTF8.self)))
            return pushes.count
          }
          let status = statuses.count >= number ? statuses[number - 1] : 200
          connection.write("HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\r\n")
        }
      }

      func pushes() throws -> [(head: String, document: Measured)] {
        try seen.pushes.withLock { $0 }.map { ($0.head, try Measured($0.body)) }
      }

      /// The sum of a metric's points in each push.
      func sums(_ name: String) throws -> [Int] {
        try pushes().map { push in
          points(name, of: push.document).reduce(0) {
            $0 + (Int($1["asInt"] as? String ?? "") ?? 0)
          }
        }
      }

      func points(_ name: String, of document: Measured) -> [[String: Any]] {
        let resource = (document["resourceMetrics"] as? [[String: Any]])?.first
        let scope = (resource?["scopeMetrics"] as? [[String: Any]])?.first
        let metric = (scope?["metrics"] as? [[String: Any]])?.first {
          $0["name"] as? String == name
        }
        return ["sum", "gauge", "histogram"].flatMap {
          (metric?[$0] as? [String: Any])?["dataPoints"] as? [[String: Any]] ?? []
        }
      }
    }

    @Test func pushedSumsEndWithTheTargets() throws {
      let target = try Served()
      let receiver = try Receiver()
      let child = try Squall.ended(
        [
          "run", "-w", "2", "--format", "json", "--otlp-endpoint",
          "http://127.0.0.1:\(receiver.server.port)/", "--otlp-interval", "1s", target.url,
        ] + Self.load, environment: ["OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let sums = try receiver.sums("squall_requests_total")
      #expect(sums.count >= 3 && sums == sums.sorted(), "\(sums)")
      #expect(sums.last == 1_000)
      #expect(try target.count() == 1_000)
      let last = try #require(try receiver.pushes().last)
      #expect(last.head.hasPrefix("POST /v1/metrics HTTP/1.1\r\n"), "\(last.head)")
      #expect(last.head.contains("x-key: abc\r\n"), "\(last.head)")
      let response = try #require(
        receiver.points("squall_response_seconds", of: last.document).first)
      #expect(response["count"] as? String == "1000")
      let buckets = try #require(response["bucketCounts"] as? [String]).compactMap { Int($0) }
      #expect(buckets.reduce(0, +) == 1_000)
      #expect((response["explicitBounds"] as? [Double])?.count == buckets.count - 1)
      let starts = Set(
        try receiver.pushes().flatMap { push in
          receiver.points("squall_requests_total", of: push.document).compactMap {
            $0["startTimeUnixNano"] as? String
          }
        })
      #expect(starts.count == 1, "one run has one start")
    }

    /// As OpenTelemetry's own definitions read it.
    @Test(
      .enabled(
        if: Repository.has(Repository.python)
          && (try? Repository.output(
            Repository.python, "-c", "import opentelemetry.proto.metrics")) != nil,
        "opentelemetry-proto is not installed"))
    func whatIsPushedIsOTLP() throws {
      let (target, receiver, folder) = (try Served(), try Receiver(), try Folder())
      let child = try Squall.ended(
        [
          "run", "-w", "1", "-n", "300", "--otlp-endpoint",
          "http://127.0.0.1:\(receiver.server.port)/", target.url,
        ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let last = try #require(try receiver.pushes().last)
      let program = """
        import sys
        from google.protobuf.json_format import Parse
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
            ExportMetricsServiceRequest)
        request = Parse(open(sys.argv[1]).read(), ExportMetricsServiceRequest())
        [metrics] = [scope.metrics for of in request.resource_metrics for scope in of.scope_metrics]
        of = {metric.name: metric for metric in metrics}
        print(sum(point.as_int for point in of["squall_requests_total"].sum.data_points))
        print(of["squall_requests_total"].sum.is_monotonic)
        [response] = of["squall_response_seconds"].histogram.data_points
        print(response.count, sum(response.bucket_counts))
        print(len(response.bucket_counts) - len(response.explicit_bounds))
        """
      let judged = try Repository.output(
        Repository.python, "-c", program, folder.file("push.json", last.document.text))
      #expect(judged.split(separator: "\n") == ["300", "True", "300 300", "1"])
    }

    /// Status 503 is for another attempt, said once; the run is as without a receiver.
    @Test func aReceiverThatIsNotReadyGetsAllOfItLater() throws {
      let target = try Served()
      let receiver = try Receiver(statuses: [503, 503])
      let child = try Squall.ended(
        ["run", "--format", "json", target.url] + Self.load,
        environment: [
          "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:\(receiver.server.port)/mine"
        ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(try receiver.pushes().allSatisfy { $0.head.hasPrefix("POST /mine HTTP/1.1\r\n") })
      #expect(try receiver.sums("squall_requests_total").last == 1_000)
      #expect(
        child.errors.components(separatedBy: "metrics do not reach").count == 2, "\(child.errors)")
      #expect(child.errors.contains("status 503"), "\(child.errors)")
    }

    @Test func aReceiverThatIsNotThereCostsTheRunNothing() throws {
      let target = try Served()
      let child = try Squall.ended([
        "run", "--format", "json", "-n", "100", "--otlp-endpoint",
        "http://127.0.0.1:\(try closedPort())", target.url,
      ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(try Measured(child.output).ok == 100)
      #expect(child.errors.contains("the last metrics did not reach"), "\(child.errors)")
      #expect(child.errors.contains("Connection refused"), "\(child.errors)")
    }

    private func ask(_ method: String, _ path: String, port: UInt16) throws -> Int32 {
      let socket = try connection(to: port)
      let request = Array(
        ("\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
          + "Content-Type: application/json\r\n\r\n").utf8)
      try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
      return socket
    }
  }
}
