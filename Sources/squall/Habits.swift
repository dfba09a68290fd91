import SquallNode

/// What people type who know another tool: options that Squall has under another name, or not at all,
/// each with a sentence that says what to write.
enum Habits {
  /// Why a command line cannot be read as it stands; nil when nothing is known against it.
  static func complaint(about arguments: [String]) -> String? {
    negative(arguments) ?? singleDash(arguments)
  }

  /// Of an option that the parser does not know.
  static func sentence(for option: String) -> String? {
    let name = option.split(separator: "=", maxSplits: 1).first.map(String.init) ?? option
    return sentences[name]
  }

  private static let sentences: [String: String] = {
    var sentences: [String: String] = [:]
    for (names, sentence) in table {
      for name in names { sentences[name] = sentence }
    }
    return sentences
  }()

  private static let table: [([String], String)] = [
    // Rates.
    (
      ["-q", "--qps", "--rps", "--rate-limit", "--arrival-rate"],
      "requests per second are -R here, such as -R 1000"
    ),
    (
      ["--vus", "--concurrency", "--clients", "--num-connections", "--max-concurrent-clients"],
      "connections are -c here, such as -c 64; users of a scenario are -u"
    ),
    (
      ["--iterations", "--num-requests", "--count", "--requests-count"],
      "a number of requests is -n here, such as -n 10000"
    ),
    (
      ["--run-time", "--time", "--timelimit", "--max-duration"],
      "the time of the run is -d here, such as -d 30s"
    ),
    (["--burst-delay", "--burst-rate"], "bursts are stages here: --stage 1s:1000 --stage 1s:0"),
    (["--stages"], "stages are --stage here, one each, such as --stage 30s:5k"),
    (["--spawn-rate-per-second", "--hatch-rate"], "users that begin in a second are -r here"),
    (["--latency-correction"], "-R always corrects for coordinated omission"),
    (["--max-workers"], "worker processes are -w here, such as -w 2"),
    (
      ["--url", "--uri", "--target"],
      "the URL stands by itself: squall run http://HOST/PATH -c 64"
    ),
    (["--fasthttp", "--http1"], "there is one client, for HTTP/1.1 and --http2: leave it out"),
    // Bodies.
    (
      ["-D", "--body-file", "--data-binary", "--data-raw", "--post-file", "-p"],
      "a body is --body here: text, @FILE, or @- for standard input"
    ),
    (
      ["-F", "--form", "--form-string"],
      "a form is sent by a scenario: form: {name: value}, see docs/SCENARIOS.md"
    ),
    (
      ["--json", "--data-urlencode"],
      "a body is --body here, with -H 'Content-Type: application/json' or another type"
    ),
    (
      ["-T", "--content-type"], "a type is a header here: -H 'Content-Type: application/json'"
    ),
    // Headers.
    (
      ["-A", "--user-agent", "--useragent"], "a user agent is a header here: -H 'User-Agent: name'"
    ),
    (
      ["-a", "--basic-auth", "--user", "--auth"],
      "credentials are a header here: -H 'Authorization: Basic ...'"
    ),
    (["-e", "--referer"], "a referer is a header here: -H 'Referer: http://...'"),
    (["-C", "--cookie"], "a cookie is a header here: -H 'Cookie: name=value'"),
    (
      ["--compressed", "--disable-compression"],
      "nothing is asked to be compressed by default: -H 'Accept-Encoding: gzip' asks for it"
    ),
    (["-I", "--head"], "a method is -m here: -m HEAD"),
    (["--request"], "a method is -m here: -m POST"),
    (["-G", "--get"], "GET is the default, and a query belongs in the URL"),
    // Connections.
    (
      [
        "--no-connection-reuse", "--no-vu-connection-reuse", "--disable-keep-alive",
        "--no-keep-alive",
      ],
      "one request per connection is --no-keepalive here"
    ),
    (["--keepalive", "--keep-alive"], "connections are kept by default; --no-keepalive does not"),
    (
      ["-x", "--proxy", "--preproxy", "--socks5"],
      "there is no proxy: measure the server itself, or the proxy as the target"
    ),
    (
      ["--resolve", "--target-ip"],
      "another address is --connect-to HOST:PORT:HOST2:PORT2 here, as in curl"
    ),
    (
      ["-4", "-6", "--ipv4", "--ipv6"], "give an address of that family in the URL, or --connect-to"
    ),
    (
      ["--abstract-unix-socket"],
      "sockets without a path are no targets: let the server listen on a path, for --unix-socket"
    ),
    (
      ["-L", "--location", "--redirect", "--redirects", "--max-redirects", "--disable-redirects"],
      "redirects are not followed: measure the URL that they lead to"
    ),
    (["--http3", "--quic"], "HTTP/3 is not spoken: use --http2 or HTTP/1.1"),
    (["--h2", "-h2", "--http2-only"], "HTTP/2 is --http2 here, with https://"),
    (["--max-time", "--connect-timeout-ms", "-m-timeout"], "a request's time is --timeout here"),
    (
      ["--insecure-skip-tls-verify", "--skip-verify", "--no-check-certificate"],
      "TLS without a check is -k here"
    ),
    (["--root-certs", "--ca", "--capath"], "authorities are --cacert FILE here"),
    // Scripts and files.
    (
      [
        "-s", "--script", "--scenario", "--locustfile", "--targets", "-targets", "--urls-from-file",
      ],
      "requests that differ are a scenario: squall run FILE.yaml, see docs/SCENARIOS.md"
    ),
    (["--env"], "values for a scenario are --set NAME=VALUE, or ${env.NAME} in it"),
    (["--tags", "--exclude-tags"], "tags do not choose tasks yet: give the others a weight of 0"),
    // Output.
    (
      ["--latency", "--latencies", "-l", "-U", "--u_latency"],
      "percentiles are always printed; --hdr FILE writes the whole distribution"
    ),
    (["--out", "--summary-export", "--output-format"], "results are --format and -o FILE here"),
    (["--html"], "an HTML report is --format html -o FILE"),
    (["--only-summary", "--no-tui", "--silent"], "the live line is off with --quiet"),
    (
      ["--print-stats", "--reset-stats"],
      "the report is printed at the end; --warmup leaves time out"
    ),
    (
      ["-v", "--verbose", "-i", "--include", "--print"],
      "one request and its answer are shown by --debug"
    ),
    (["--csv-full-history"], "the whole history is in the files of --csv"),
    (
      ["--exit-code-on-error"],
      "without one ok answer the exit code is 1; --slo 'errors<1%' makes it 3"
    ),
    (["-V"], "the version is --version"),
    (
      ["--loglevel", "--logfile", "--skip-log-setup"], "messages go to standard error, all of them"
    ),
    (
      ["--web-ui", "--modern-ui"],
      "squall master has an API on its web port: POST /api/start begins a run"
    ),
    (["--master", "--worker", "--slave"], "these are commands: squall master, squall worker"),
    (
      ["--headless", "--expect-workers", "--master-bind-port", "--web-port"],
      "many hosts are led by squall master, which has this option; squall run needs none"
    ),
    (
      ["--nodes", "--agents", "--kubernetes"],
      "many hosts are squall fleet run here, or squall master and squall worker on each"
    ),
  ]

  /// Options whose value is a number or a time, with one that would do.
  private static let numbers: [(names: [String], what: String, example: String)] = [
    (["-d", "-z", "--duration"], "a time above 0", "-d 10s"),
    (["-n", "--requests"], "a number above 0", "-n 1000"),
    (["-c", "--connections"], "a number above 0", "-c 64"),
    (["-R", "--rate"], "a rate above 0", "-R 1000"),
    (["-w", "-t", "--workers", "--threads"], "a number above 0", "-w 2"),
    (["-u", "--users"], "a number above 0", "-u 50"),
    (["-r", "--spawn-rate"], "a rate above 0", "-r 10"),
    (["--timeout"], "a time above 0", "--timeout 5s"),
    (["--connect-timeout"], "a time above 0", "--connect-timeout 5s"),
    (["--deadline"], "a time above 0", "--deadline 100ms"),
    (["--warmup"], "a time", "--warmup 5s"),
    (["--ramp"], "a time", "--ramp 5s"),
    (["--drain"], "a time", "--drain 2s"),
    (["--interval"], "a time from 10ms", "--interval 1s"),
    (["--pipeline"], "a number above 0", "--pipeline 8"),
    (["--streams"], "a number above 0", "--streams 10"),
    (["--max-in-flight"], "a number above 0", "--max-in-flight 1000"),
    (["--requests-per-connection"], "a number above 0", "--requests-per-connection 100"),
    (["--repeat"], "a number above 0", "--repeat 5"),
    (["--expect-workers"], "a number above 0", "--expect-workers 2"),
    (["--seed"], "a whole number", "--seed 1"),
  ]

  /// The parser takes what begins with a dash for an option, and the value for missing.
  private static func negative(_ arguments: [String]) -> String? {
    for (index, word) in arguments.enumerated() {
      if word == "--" { return nil }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let value =
        parts.count == 2
        ? String(parts[1]) : index + 1 < arguments.count ? arguments[index + 1] : ""
      guard let option = numbers.first(where: { $0.names.contains(String(parts[0])) }),
        value.first == "-", value.dropFirst().first?.isNumber == true
      else { continue }
      return "\(parts[0]) \(value) is negative: give \(option.what), such as \(option.example)."
    }
    return nil
  }

  /// vegeta and hey write long options with one dash.
  private static func singleDash(_ arguments: [String]) -> String? {
    let known = [
      "rate", "duration", "connections", "workers", "timeout", "body", "insecure", "host", "cpus",
      "requests", "method", "header", "http2", "keepalive", "targets", "output", "redirects",
    ]
    for word in arguments where word.hasPrefix("-") && !word.hasPrefix("--") {
      let name = word.dropFirst().split(separator: "=", maxSplits: 1).first.map(String.init) ?? ""
      if name == "keepalive" || name == "targets" || name == "redirects" {
        return (sentences["--" + name] ?? sentences["-" + name]).map { "\(word): \($0)." }
      }
      if known.contains(name) {
        return "\(word): long options have two dashes here, such as --\(name)."
      }
    }
    return nil
  }
}
