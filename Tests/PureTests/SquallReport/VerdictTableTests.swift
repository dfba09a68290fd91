import SquallLoad
import SquallReport
import Testing

/// Measured figures in, headline and remedy out: what a person reads in each situation.
struct VerdictTableTests {
  /// A row: the figures, what the report says (in its order), and what it must not say.
  struct Situation: CustomTestStringConvertible, Sendable {
    var name: String
    var figures: @Sendable (inout SampleRun) -> Void
    var says: [String]
    var never: [String] = []
    var valid = true
    var saturated = false

    var testDescription: String { name }
  }

  @Test(arguments: closed + open + target + answers + limits)
  func isToldAsItIs(_ situation: Situation) {
    var run = SampleRun()
    situation.figures(&run)
    let result = run.result()
    let text = TextReport(result).text.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
    var rest = text[...]
    for sentence in situation.says {
      guard let place = rest.firstRange(of: sentence) else {
        Issue.record("not said in its place: \(sentence)\n\(TextReport(result).text)")
        return
      }
      rest = rest[place.upperBound...]
    }
    for sentence in situation.never {
      #expect(!text.contains(sentence), "\(TextReport(result).text)")
    }
    #expect(result.verdict.valid == situation.valid, "\(result.verdict.reasons)")
    #expect(result.verdict.saturated == situation.saturated, "\(result.verdict.reasons)")
    for line in TextReport(result).text.split(separator: "\n") { #expect(line.count <= 80) }
  }

  @Test func thereAreAtLeastForty() {
    let all = Self.closed + Self.open + Self.target + Self.answers + Self.limits
    #expect(all.count >= 40)
    #expect(Set(all.map(\.name)).count == all.count)
  }

  /// Ends of the generator's own in a closed loop.
  static let closed: [Situation] = [
    Situation(
      name: "nothing is wrong", figures: { _ in },
      says: ["generator not saturated busiest worker 60% idle"], never: ["SATURATED", "- "]),
    Situation(
      name: "workers are busy, with CPUs left",
      figures: { run in
        run = SampleRun(cpuNs: 970_000_000)
        run.facts.host.cpus = 8
      },
      says: [
        "SATURATED worker 0 (cpu 0) was 97% busy: the generator set the limit; give it more workers "
          + "(-w) or another host, or fewer connections (-c)"
      ], valid: false, saturated: true),
    Situation(
      name: "workers are busy on all CPUs there are",
      figures: { run in
        run = SampleRun(cpuNs: 970_000_000)
        run.facts.host.cpus = 2
      },
      says: [
        "SATURATED worker 0 (cpu 0) was 97% busy: the generator set the limit; use another host, or "
          + "fewer connections (-c)"
      ], never: ["more workers"], valid: false, saturated: true),
    Situation(
      name: "workers are near their limit", figures: { $0 = SampleRun(cpuNs: 900_000_000) },
      says: ["worker 0 (cpu 0) was 90% busy: close to its limit"], never: ["SATURATED"]),
    Situation(
      name: "workers spin",
      figures: { run in
        run = SampleRun(cpuNs: 999_000_000)
        run.plan.spins = true
      }, says: ["workers spin: their busy ratio says nothing of their load"], never: ["busy:"]),
    Situation(
      name: "other processes make workers wait that have little to do",
      figures: { run in
        run = SampleRun(serviceNs: 800_000_000)
        wait(&run, 0.5)
        for index in run.batches.indices {
          run.batches[index].endpoints[0].counters.sent = 10
          run.batches[index].endpoints[0].counters.statuses = [200: 10]
          run.batches[index].endpoints[0].service = LoadSample.sparse(
            Array(repeating: 800_000_000, count: 10))
        }
      },
      says: [
        "- 2 workers (cpu 0,1) waited up to 50% of the time for their CPUs: other processes run there"
      ], never: ["SATURATED"]),
    Situation(
      name: "other processes take one worker's CPU", figures: { wait(&$0, 0.28, workers: 1...1) },
      says: [
        "SATURATED the worker on cpu 1 waited 28% of the time for its CPU: other processes run there; "
          + "stop them, or choose other CPUs (--cpus)"
      ], valid: false, saturated: true),
    Situation(
      name: "other processes take all workers' CPUs: one sentence", figures: { wait(&$0, 0.28) },
      says: [
        "SATURATED 2 workers (cpu 0,1) waited up to 28% of the time for their CPUs: other processes "
          + "run there; stop them, or choose other CPUs (--cpus)"
      ], never: ["the worker on cpu"], valid: false, saturated: true),
    Situation(
      name: "workers share a CPU with each other",
      figures: { run in
        wait(&run, 0.49)
        run.facts.workers[WorkerPlace(agent: 7, worker: 1)]?.cpu = 0
      },
      says: [
        "SATURATED 2 workers (cpu 0) waited up to 49% of the time for their CPUs: other workers of "
          + "ours run there; use at most 1 worker (-w 1)"
      ], never: ["other processes", "stop them"], valid: false, saturated: true),
    Situation(
      name: "workers of two hosts have the same CPU number and share nothing",
      figures: { run in
        wait(&run, 0.2, workers: 0...0)
        run.facts.run = 1
        run.facts.workers[WorkerPlace(agent: 7, worker: 1)] = WorkerFacts(host: "there", cpu: 0)
      },
      says: ["the worker on cpu 0 waited 20% of the time for its CPU: other processes run there"],
      never: ["other workers of ours"], valid: false, saturated: true),
    Situation(
      name: "the target shares the workers' CPUs",
      figures: { run in
        wait(&run, 0.49)
        run.facts.cpusSharedWithTarget = [0, 1]
        run.facts.host.cpus = 2
      },
      says: [
        "SATURATED 2 workers (cpu 0,1) waited up to 49% of the time for their CPUs: the target runs "
          + "there; keep them apart with --cpus or on two hosts"
      ], never: ["other processes", "each takes time"], valid: false, saturated: true),
    Situation(
      name: "the target shares the only CPU",
      figures: { run in
        wait(&run, 0.49, workers: 0...0)
        run.facts.cpusSharedWithTarget = [0]
        run.facts.host.cpus = 1
      },
      says: [
        "SATURATED the worker on cpu 0 waited 49% of the time for its CPU: the target runs there; this "
          + "process may use one CPU: let it use another, or run the target on another host"
      ], never: ["--cpus", "stop them"], valid: false, saturated: true),
    Situation(
      name: "the target may use the workers' CPUs, and took little of them",
      figures: { $0.facts.cpusSharedWithTarget = [0, 1] },
      says: ["- the target runs on the workers' CPUs (0,1): each takes time from the other"],
      never: ["SATURATED"]),
    Situation(
      name: "a CPU quota holds the workers back",
      figures: { run in
        wait(&run, 0.6)
        run.facts.quota = RunFacts.Quota(cpus: 0.3, periodCount: 46, throttledCount: 43)
      },
      says: [
        "SATURATED the workers were held back in 43 of 46 periods: the CPU quota of this container or "
          + "control group is 0.30 CPUs; raise the quota, or ask for less load"
      ], never: ["other processes", "--cpus"], valid: false, saturated: true),
    Situation(
      name: "a CPU quota that was not used up",
      figures: { $0.facts.quota = RunFacts.Quota(cpus: 4, periodCount: 50, throttledCount: 0) },
      says: ["generator not saturated"], never: ["quota"]),
    Situation(
      name: "connections stand idle", figures: { $0 = SampleRun(serviceNs: 4_000_000) },
      says: ["Little's law: service time x rate accounts for 50% of the connections"]),
    Situation(
      name: "users of a scenario think between their requests",
      figures: { run in
        run = SampleRun(serviceNs: 4_000_000)
        run.plan.content.program = [1]
      }, says: ["generator not saturated"], never: ["stood idle"]),
    Situation(
      name: "what the drain holds is no idleness",
      figures: { run in
        run = SampleRun(serviceNs: 4_000_000)
        run.batches.append(
          LoadSample.batch(
            LoadSample.incarnation(), sequence: 5, interval: 5, phase: .drain,
            service: Array(repeating: 4_000_000, count: 1000)))
      }, says: ["generator not saturated"], never: ["accounts for"]),
    Situation(
      name: "what is in flight at the stop is no idleness",
      figures: { run in
        run = SampleRun(serviceNs: 4_000_000)
        run.batches[4].endpoints[0].counters.sent += 1000
      }, says: ["generator not saturated"], never: ["accounts for"]),
  ]

  /// A rate that was asked for.
  static let open: [Situation] = [
    Situation(
      name: "the rate was reached", figures: { $0.open(2000) },
      says: ["target 2,000/s sent 2,000/s (ratio 1.000)"], never: ["NOT VALID", "SATURATED"]),
    Situation(
      name: "one of few requests left late",
      figures: { late(&$0, 1) },
      says: ["1 request left more than 1.00ms late with connections free: too few to say"],
      never: ["SATURATED", "1 requests"]),
    Situation(
      name: "many requests left late",
      figures: { late(&$0, 500) },
      says: [
        "SATURATED 500 requests left more than 1.00ms late with connections free (schedule lag p99 "
          + "2.00ms): the generator fell behind; give it more workers (-w), a quiet CPU (--cpus) or "
          + "--spin"
      ], valid: false, saturated: true),
    Situation(
      name: "many left late by a CPU quota",
      figures: { run in
        late(&run, 500)
        run.facts.quota = RunFacts.Quota(cpus: 0.3, periodCount: 21, throttledCount: 21)
      },
      says: [
        "SATURATED 500 requests left more than 1.00ms late with connections free (schedule lag p99 "
          + "2.00ms): the generator fell behind, as the workers were held back in 21 of 21 periods: the "
          + "CPU quota of this container or control group is 0.30 CPUs; raise the quota, or ask for less load"
      ], never: ["--spin", "more workers"], valid: false, saturated: true),
    Situation(
      name: "many left late as other processes run there",
      figures: { run in
        late(&run, 500)
        wait(&run, 0.3, workers: 0...0)
      },
      says: [
        "the generator fell behind, as the worker on cpu 0 waited 30% of the time for its CPU: other "
          + "processes run there; stop them, or choose other CPUs (--cpus)"
      ], never: ["--spin"], valid: false, saturated: true),
    Situation(
      name: "workers waited and were in time",
      figures: { run in
        run.open(2000)
        wait(&run, 0.3, workers: 0...0)
      }, says: ["- the worker on cpu 0 waited 30% of the time"], never: ["SATURATED"]),
    Situation(
      name: "the quota left a part of the rate unsent",
      figures: { run in
        late(&run, 500, rate: 4000)
        wait(&run, 0.6)
        run.facts.quota = RunFacts.Quota(cpus: 0.3, periodCount: 21, throttledCount: 21)
      },
      says: [
        "SATURATED 50% of the 4,000/s asked for was sent: the generator could not; raise the quota, "
          + "or ask for less load"
      ], never: ["more workers"], valid: false, saturated: true),
    Situation(
      name: "the target holds all connections",
      figures: { run in
        run = SampleRun(lagNs: [5_000_000])
        run.open(2000)
      },
      says: [
        "- requests waited for a free connection (schedule lag p99 5.00ms): the target held all"
      ]),
    Situation(
      name: "too few connections for the rate",
      figures: { run in
        run = SampleRun(lagNs: [500_000_000])
        run.open(4000)
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.dropped = 1000 }
      },
      says: [
        "NOT VALID 50% of the 4,000/s asked for was sent, though workers had time left: the target held "
          + "what may be in flight; raise -c (to 32 or more), or the target's limit is below this rate"
      ], never: ["SATURATED"], valid: false),
    Situation(
      name: "answers wait for a worker that waits for its CPU",
      figures: { run in
        run = SampleRun(lagNs: [500_000_000])
        run.open(4000)
        wait(&run, 0.5, workers: 0...0)
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.dropped = 1000 }
      },
      says: [
        "SATURATED 50% of the 4,000/s asked for was sent: the generator could not, as the worker on cpu 0 "
          + "waited 50% of the time for its CPU: other processes run there"
      ], never: ["raise -c"], valid: false, saturated: true),
    Situation(
      name: "the target holds all connections, and other processes take a little of the CPUs",
      figures: { run in
        run = SampleRun(lagNs: [500_000_000])
        run.open(4000)
        wait(&run, 0.08)
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.dropped = 1000 }
      },
      says: [
        "NOT VALID 50% of the 4,000/s asked for was sent, though workers had time left: the target held "
          + "what may be in flight; raise -c",
        "- 2 workers (cpu 0,1) waited up to 8% of the time for their CPUs: other processes run there",
      ], never: ["SATURATED"], valid: false),
    Situation(
      name: "the workers had no time left, half of it other processes'",
      figures: { run in
        run = SampleRun(lagNs: [500_000_000], cpuNs: 490_000_000)
        run.open(10_000)
        wait(&run, 0.49)
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.dropped = 4000 }
      },
      says: [
        "SATURATED 20% of the 10,000/s asked for was sent: the generator could not, as 2 workers (cpu "
          + "0,1) waited up to 49% of the time for their CPUs: other processes run there"
      ], never: ["raise -c"], valid: false, saturated: true),
    Situation(
      name: "some left late, and many more found no connection free",
      figures: { run in
        run = SampleRun(lagNs: Array(repeating: 500_000_000, count: 900))
        run.open(4000)
        run.batches[0].worker.late = 200
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.dropped = 1000 }
      },
      says: [
        "NOT VALID 50% of the 4,000/s asked for was sent, though workers had time left: the target held",
        "- requests waited for a free connection (schedule lag p99 500ms): the target held all of them",
      ], never: ["SATURATED"], valid: false),
    Situation(
      name: "a limit of requests in flight",
      figures: { run in
        run.open(4000)
        run.plan.connections.inFlightLimit = 16
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.dropped = 1000 }
      }, says: ["raise --max-in-flight, or the target's limit is below this rate"],
      never: ["raise -c"], valid: false),
    Situation(
      name: "a worker was started again, its share sent by nobody meanwhile",
      figures: { run in
        run.open(2500)
        run.facts.workers[WorkerPlace(agent: 7, worker: 1)]?.isLost = true
      },
      says: [
        "80% of the 2,500/s asked for was sent, the rest was nobody's to send: a worker was missing",
        "- 2,500 requests fell due while no worker had them",
      ], never: ["the target held"], valid: false),
    Situation(
      name: "a worker was missing for a moment, and the rate hardly shows it",
      figures: { $0.open(2010) }, says: ["- 50 requests fell due while no worker had them"],
      never: ["NOT VALID"]),
    Situation(
      name: "the rest of a rate went out in the drain",
      figures: { run in
        run.open(2500)
        run.batches.append(
          LoadSample.batch(
            LoadSample.incarnation(), sequence: 5, interval: 5, phase: .drain,
            service: Array(repeating: 8_000_000, count: 2500)))
      },
      says: ["80% of the 2,500/s asked for was sent, the rest only after the measured time"],
      never: ["a worker was missing", "the target held", "fell due"], valid: false),
    Situation(
      name: "the target takes no connections",
      figures: { run in
        run.open(2500)
        for index in run.batches.indices {
          run.batches[index].endpoints[0].counters.dropped = 250
          run.batches[index].endpoints[0].counters.errors[Int(ErrorCause.connect.rawValue)] = 50
        }
      },
      says: [
        "80% of the 2,500/s asked for was sent, as the target did not take connections (500 attempts "
          + "failed): look at the target"
      ], never: ["raise -c"], valid: false),
    Situation(
      name: "the rate was not reached for want of local ports",
      figures: { run in
        run.open(2500)
        ports(&run, 500, opened: 10)
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.dropped = 250 }
      },
      says: [
        "NOT VALID 80% of the 2,500/s asked for was sent, as connections could not be opened: no local "
          + "port is free; spread over addresses with --source-ip, or widen net.ipv4.ip_local_port_range"
      ], never: ["raise -c", "SATURATED"], valid: false),
    Situation(
      name: "interrupted before the rate was reached",
      figures: { run in
        run.open(2500)
        run.facts.interrupted = true
      }, says: ["INTERRUPTED", "80% of the 2,500/s asked for was sent before the interruption"]),
  ]

  /// Targets that end, and ends that look like theirs.
  static let target: [Situation] = [
    Situation(
      name: "the target is gone, its connections ended at once",
      figures: { run in
        silence(&run, .connect)
        run.batches[0].endpoints[0].counters.findings = [
          .reuseClosed: 16, .answersBeforeClose: 16 * 375, .answersBeforeCloseSquared: 16 * 140_625,
        ]
      },
      says: [
        "TARGET GONE the target stopped answering 3.00s into the run: no connection could be opened any "
          + "more; until then it gave 2,000 ok/s; look at the target"
      ], never: ["--requests-per-connection", "keep-alive", "SATURATED"], valid: false),
    Situation(
      name: "the target is gone, and the rate with it",
      figures: { run in
        run.open(2000)
        silence(&run, .reset)
        for index in run.batches.indices where index % 5 > 2 {
          run.batches[index].endpoints[0].counters.dropped = 1000
        }
      },
      says: [
        "TARGET GONE the target stopped answering 3.00s into the run: connections were closed without an "
          + "answer", "the rest fell due when the target was gone",
      ], never: ["SATURATED", "raise -c", "more workers"], valid: false),
    Situation(
      name: "the second in which it went is the one of its last answer",
      figures: { run in
        silence(&run, .connect)
        for index in run.batches.indices where index % 5 == 2 {
          run.batches[index].worker.lastOkNs = 2_250_000_000
        }
      }, says: ["the target stopped answering 2.25s into the run"], valid: false),
    Situation(
      name: "it went in the last second",
      figures: { run in
        for index in run.batches.indices {
          run.batches[index].worker.lastOkNs = UInt64(index % 5 + 1) * 1_000_000_000
        }
        for index in run.batches.indices where index % 5 == 4 {
          run.batches[index].worker.lastOkNs = 4_250_000_000
          run.batches[index].endpoints[0].counters.errors[Int(ErrorCause.connect.rawValue)] = 20
        }
      }, says: ["the target stopped answering 4.25s into the run"], valid: false),
    Situation(
      name: "it went at once, and no rate is told",
      figures: { run in
        silence(&run, .timeout, from: 1)
        for index in run.batches.indices where index % 5 == 0 {
          run.batches[index].worker.lastOkNs = 8_000_000
        }
      }, says: ["the target stopped answering 8.00ms into the run: requests were taken and not"],
      never: ["until then"], valid: false),
    Situation(
      name: "it went in the first second, when is not known",
      figures: { silence(&$0, .timeout, from: 1) },
      says: ["the target stopped answering less than 1.00s into the run"], never: ["until then"],
      valid: false),
    Situation(
      name: "it gives errors from some second on", figures: { silence(&$0, .parse) },
      says: ["the target gave its last ok answer 3.00s into the run: what came could not be read"],
      valid: false),
    Situation(
      name: "local ports ran out in the middle: the target is not gone",
      figures: { run in
        silence(&run, .connect)
        ports(&run, 400, opened: 16, counts: false)
      },
      says: [
        "NOT VALID no connection could be opened any more 3.00s into the run: no local port is free; "
          + "spread over addresses with --source-ip"
      ], never: ["TARGET GONE", "look at the target"], valid: false),
    Situation(
      name: "local ports were short for a while",
      figures: { run in
        silence(&run, .connect, from: 1, to: 2)
        ports(&run, 400, opened: 16, counts: false)
      },
      says: [
        "- no connection could be opened from 1.00s to 3.00s of the run: no local port is free"
      ],
      never: ["the target gave no"]),
    Situation(
      name: "the target came back", figures: { silence(&$0, .connect, from: 1, to: 2) },
      says: ["- the target gave no ok answer from 1.00s to 3.00s of the run"],
      never: ["TARGET GONE"]),
  ]

  /// What came back.
  static let answers: [Situation] = [
    Situation(
      name: "the target speaks first, and nothing was sent",
      figures: { run in
        for index in run.batches.indices {
          run.batches[index].endpoints[0] = Batch.Endpoint(index: 0)
          run.batches[index].endpoints[0].counters.findings = [.unaskedConnections: 1]
        }
        sample(&run, .strangeStart, "SSH-2.0-OpenSSH_9.6")
      },
      says: ["NO ANSWER 127.0.0.1:8080 speaks SSH, not HTTP/1.1: it spoke before it was asked"],
      never: ["no time for"]),
    Situation(
      name: "a keep-alive limit", figures: { reuse(&$0, ends: 40, answers: [7]) },
      says: [
        "40 requests met a connection that the target had just closed, after 7 answers: a keep-alive "
          + "limit that it does not announce; --requests-per-connection 7 avoids it"
      ]),
    Situation(
      name: "one end for each connection", figures: { reuse(&$0, ends: 8, answers: [7]) },
      says: [
        "8 requests met a connection that the target had just closed, after 7 answers: a keep-alive "
          + "limit that it does not announce, which --requests-per-connection 7 avoids, or one restart"
      ]),
    Situation(
      name: "a restart under load", figures: { reuse(&$0, ends: 16, answers: [1253, 1254]) },
      says: [
        "without a word, after 1254 answers on average: it ends connections by a time of its own"
      ],
      never: ["--requests-per-connection"]),
    Situation(
      name: "ends by time", figures: { reuse(&$0, ends: 60, answers: [2, 40, 90]) },
      says: ["it ends connections by a time of its own, or was restarted"],
      never: ["--requests-per-connection"]),
    Situation(
      name: "every answer is a redirect", figures: { status(&$0, [302: 1000]) },
      says: [
        "- every answer was a redirect (302), which is not followed: give the URL that it leads to"
      ]
    ),
    Situation(
      name: "every answer leads elsewhere",
      figures: {
        status(&$0, [302: 1000])
        sample(&$0, .location, "http://here/login")
      },
      says: [
        "- every answer was a redirect (302) to http://here/login, which is not followed: give the URL that"
      ]),
    Situation(
      name: "the target compresses what it was not asked to",
      figures: { sample(&$0, .unaskedEncoding, "gzip") },
      says: ["- the target encodes its answers (gzip) and was not asked to"]),
    Situation(
      name: "some answers are redirects", figures: { status(&$0, [200: 500, 302: 500]) },
      says: ["generator not saturated"], never: ["redirect"]),
    Situation(
      name: "not modified is no redirect", figures: { status(&$0, [304: 1000]) },
      says: ["generator not saturated"], never: ["redirect"]),
    Situation(
      name: "every answer is not found", figures: { rejected(&$0, 404) },
      says: ["NO OK ANSWER every response had status 404: check the path of the URL"],
      never: ["is a server listening"]),
    Situation(
      name: "every answer wants authorization", figures: { rejected(&$0, 401) },
      says: [
        "every response had status 401: it wants authorization, such as -H 'Authorization: ...'"
      ]),
    Situation(
      name: "every answer limits the rate", figures: { rejected(&$0, 429) },
      says: ["every response had status 429: it limits the rate: ask for less (-R)"]),
    Situation(
      name: "every answer is a fault of the target", figures: { rejected(&$0, 500) },
      says: ["every response had status 500: look at the target, or at the request (--debug"]),
    Situation(
      name: "a number of requests that was not answered",
      figures: { run in
        run.plan.requestCount = 10_000
        for index in run.batches.indices {
          run.batches[index].endpoints[0].counters.statuses = [200: 876]
          run.batches[index].endpoints[0].counters.errors[Int(ErrorCause.reset.rawValue)] = 124
          run.batches[index].endpoints[0].service = LoadSample.sparse(
            Array(repeating: 8_000_000, count: 876))
        }
      }, says: ["8,760 of the 10,000 requests asked for (-n) were answered"]),
    Situation(
      name: "the drain's answers are told beside the measured time's",
      figures: { run in
        run.batches.append(
          LoadSample.batch(
            LoadSample.incarnation(), sequence: 5, interval: 5, phase: .drain,
            service: Array(repeating: 8_000_000, count: 40)))
      },
      says: [
        "Throughput 2,000 ok/s 10,000 ok in 5.00s", "40 more ok in the drain", "10000 requests in",
      ]),
  ]

  /// What this host lacks.
  static let limits: [Situation] = [
    Situation(
      name: "half of the connections found no local port", figures: { ports(&$0, 167, opened: 8) },
      says: [
        "NOT VALID only 8 of 16 connections came to be, 167 attempts to connect failed: no local port is "
          + "free; spread over addresses with --source-ip, or widen net.ipv4.ip_local_port_range"
      ], never: ["--warmup", "takes turns"], valid: false),
    Situation(
      name: "no connection found a local port",
      figures: { run in
        run.answerNothingOk()
        for index in run.batches.indices { run.batches[index].endpoints[0].counters.statuses = [:] }
        ports(&run, 167, opened: 0)
      },
      says: [
        "NOT VALID 167 attempts to connect failed: no local port is free", "opened, see above",
      ],
      never: ["is a server listening"], valid: false),
    Situation(
      name: "descriptors ran out",
      figures: { run in
        run.batches[0].worker.opened = 8
        run.batches[0].worker.descriptorFailures = 12
        run.batches[0].endpoints[0].counters.errors[Int(ErrorCause.connect.rawValue)] = 12
      },
      says: [
        "only 8 of 16 connections came to be, 12 attempts to connect failed: no file descriptor is free; "
          + "raise the limit (ulimit -n"
      ], never: ["--warmup"], valid: false),
    Situation(
      name: "the target takes some of the connections",
      figures: { run in
        run.batches[0].worker.opened = 8
        run.batches[0].endpoints[0].counters.errors[Int(ErrorCause.connect.rawValue)] = 30
      },
      says: [
        "- only 8 of 16 connections came to be: 30 attempts to open the others failed; look at how many "
          + "connections the target takes"
      ], never: ["--warmup", "local port"]),
    Situation(
      name: "there was no time to open all", figures: { $0.batches[0].worker.opened = 8 },
      says: ["- only 8 of 16 connections came to be: opening them takes turns with the load"]),
    Situation(
      name: "the target's listen queue overflowed", figures: { $0.facts.listenOverflowCount = 3 },
      says: ["the target's listen queue overflowed 3 times: raise its backlog"]),
    Situation(
      name: "other guests of the machine", figures: { $0.facts.stealRatio = 0.1 },
      says: ["10% of CPU time was taken by other guests of this machine (steal)"]),
    Situation(
      name: "a network that loses", figures: { $0.facts.retransmitRatio = 0.01 },
      says: ["1% of TCP segments were sent again: the network loses packets"]),
  ]
}

/// Workers that were ready to run and had to wait for a part of the time.
private func wait(_ run: inout SampleRun, _ ratio: Double, workers: ClosedRange<Int> = 0...1) {
  for index in run.batches.indices where workers.contains(index / 5) {
    run.batches[index].worker.runQueueWaitNs = UInt64(ratio * 1e9)
  }
}

/// An open loop of which so many requests left late with connections free.
private func late(_ run: inout SampleRun, _ count: UInt64, rate: Double = 2000) {
  run = SampleRun(serviceNs: 100_000, lagNs: [2_000_000])
  run.open(rate)
  run.batches[0].worker.late = count
  // So few of them that one is a large share.
  guard count < 10 else { return }
  run.open(2)
  run.plan.times.durationNs = 5_000_000_000
  for index in run.batches.indices {
    if index > 0 { run.batches[index].scheduleLag = SparseHistogram() }
    run.batches[index].endpoints[0].counters.sent = 1
    run.batches[index].endpoints[0].counters.statuses = [200: 1]
    run.batches[index].endpoints[0].service = LoadSample.sparse([100_000])
    run.batches[index].endpoints[0].response = LoadSample.sparse([2_100_000])
  }
}

/// Seconds in which nothing was answered, and what was tried failed.
private func silence(
  _ run: inout SampleRun, _ cause: ErrorCause, from first: Int = 3, to last: Int = 4
) {
  for index in run.batches.indices where (first...last).contains(index % 5) {
    run.batches[index].endpoints[0] = Batch.Endpoint(index: 0)
    run.batches[index].endpoints[0].counters.sent = cause == .connect ? 0 : 100
    run.batches[index].endpoints[0].counters.errors[Int(cause.rawValue)] = 100
  }
}

/// Attempts to connect that found no local port.
private func ports(
  _ run: inout SampleRun, _ count: UInt64, opened: UInt64, counts: Bool = true
) {
  run.batches[0].worker.opened = opened
  run.batches[0].worker.portFailures = count
  if counts {
    run.batches[0].endpoints[0].counters.errors[Int(ErrorCause.connect.rawValue)] = count
  }
}

/// Requests on connections that the target had ended, after so many answers in turn.
private func reuse(_ run: inout SampleRun, ends: Int, answers: [UInt64]) {
  let each = (0..<ends).map { answers[$0 % answers.count] }
  run.batches[0].endpoints[0].counters.errors[Int(ErrorCause.closed.rawValue)] = UInt64(ends)
  run.batches[0].endpoints[0].counters.sent += UInt64(ends)
  run.batches[0].endpoints[0].counters.findings = [
    .reuseClosed: UInt64(ends), .answersBeforeClose: each.reduce(0, +),
    .answersBeforeCloseSquared: each.reduce(0) { $0 + $1 * $1 },
  ]
}

private func status(_ run: inout SampleRun, _ statuses: [UInt16: UInt64]) {
  for index in run.batches.indices { run.batches[index].endpoints[0].counters.statuses = statuses }
}

private func sample(_ run: inout SampleRun, _ kind: SquallLoad.Sample, _ text: String) {
  for index in run.batches.indices {
    run.batches[index].endpoints[0].counters.samples[kind] = Array(text.utf8)
  }
}

private func rejected(_ run: inout SampleRun, _ code: UInt16) {
  run.answerNothingOk()
  status(&run, [code: 1000])
}
