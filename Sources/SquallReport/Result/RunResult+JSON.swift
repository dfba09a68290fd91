package import SquallLoad

// The result's members in the order they are written. Their descriptions are the schema's.

extension RunResult: JSONRecord {
  package static var fields: [JSONField<RunResult>] {
    [
      JSONField("schema", \.schema).oneOf(schemaName),
      .init("tool", \.tool),
      .init("host", \.host, "Of the master, or of the host of a local run."),
      .init("argv", \.argv, "The command line, as given."),
      .init(optional: "run", \.run, "Its name in the master's record; absent without a master."),
      .init("plan", \.plan),
      .init("started_at", \.startedAt, "Wall clock of the run's start, RFC 3339, UTC."),
      .init("measured_ns", \.measuredNs, "The measured time; rates are per second of it."),
      .init("interrupted", \.interrupted, "Stopped before its plan was done."),
      .init("workers", \.workers),
      .init("requests", \.requests),
      .init("errors", \.errors, "Failures by cause."),
      .init(
        optional: "causes", \.causes, "What stands behind the errors; absent where nothing does."),
      .init(optional: "tls", \.tls, "Absent without TLS."),
      .init(optional: "http", \.http, "What was spoken."),
      .init(
        optional: "backend", \.backend,
        "What drove the workers' sockets: io_uring, epoll, or mixed where workers differ."),
      .init("status", \.status, "Complete responses by status code."),
      .init("bytes", \.bytes),
      .init("rate", \.rate),
      .init("latency_ns", \.latency, "Of ok responses, but for connect, in nanoseconds."),
      .init("histograms", \.histograms),
      .init("requests_by_name", \.requestsByName),
      .init(
        optional: "iterations", \.iterations,
        "How often users went through what they do; absent without users."),
      .init("intervals", \.intervals),
      .init(
        optional: "changes", \.changes,
        "What was changed of the load while it ran, in the order of time; absent where nothing was."
      ),
      .init("connections", \.connections),
      .init("verdict", \.verdict),
      .init("slo", \.slo),
    ]
  }

  /// Reads a result file. Fails with one sentence.
  package init(text: [UInt8]) throws(JSONMismatch) {
    let json: JSONValue
    do {
      json = try JSONValue(text: text)
    } catch {
      throw JSONMismatch(error.description)
    }
    if case .string(let schema) = json["schema"], schema != Self.schemaName {
      throw JSONMismatch("is \(schema), this version reads \(Self.schemaName)").inside("schema")
    }
    guard json["schema"] != nil else {
      throw JSONMismatch("has no \"schema\": not a result of squall")
    }
    try self.init(json: json)
  }

  /// `docs/result.schema.json`.
  package static var schemaDocument: JSONValue {
    guard case .object(let members) = jsonSchema else {
      preconditionFailure("a record's schema is an object")
    }
    return .object(
      [
        .init("$schema", .string("https://json-schema.org/draft/2020-12/schema")),
        .init("$id", .string("squall.result/1")),
        .init("title", .string("Result of a squall run")),
        .init(
          "description",
          .string(
            "Durations are integer nanoseconds unless a name says otherwise. Counts are those of the "
              + "measured time and the drain after it. docs/METHOD.md says how each is taken.")),
      ] + members)
  }
}

extension RunResult.Tool: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [.init("name", \.name), .init("version", \.version), .init("commit", \.commit)]
  }
}

extension RunResult.Host: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("kernel", \.kernel), .init("cpu_model", \.cpuModel),
      .init("cpus", \.cpus, "CPUs this process may use."),
    ]
  }
}

extension PlanSummary: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("url", \.url),
      .init("method", \.method),
      .init("destinations", \.destinations, "host:port, or the path of a Unix socket."),
      .init("endpoints", \.endpoints),
      .init("connections", \.connections, "Over all workers."),
      .init(
        optional: "users", \.users,
        "Users of a scenario that share connections, or have one to each of several hosts; absent where "
          + "each has one connection."),
      .init(
        optional: "user_stages", \.userStages,
        "How the users of a scenario come and go; absent where they come once and stay."),
      .init(optional: "duration_ns", \.durationNs, "Absent when only a count ends the run."),
      .init(optional: "requests", \.requests, "Absent when only time ends the run."),
      .init(optional: "schedule", \.schedule, "Absent in a closed loop."),
      .init("pipeline", \.pipeline, "Requests in flight on one connection of HTTP/1.1."),
      .init(optional: "streams", \.streams, "At a time on one connection; absent in HTTP/1.1."),
      .init("requests_per_connection", \.requestsPerConnection, "0 for no limit."),
      .init("timeout_ns", \.timeoutNs, "From the send to the complete response."),
      .init("connect_timeout_ns", \.connectTimeoutNs),
      .init(optional: "deadline_ns", \.deadlineNs, "From the scheduled instant."),
      .init("warmup_ns", \.warmupNs),
      .init("drain_ns", \.drainNs),
      .init("interval_ns", \.intervalNs),
      .init("ramp_ns", \.rampNs, "Over which connections are opened."),
      .init(optional: "max_in_flight", \.maxInFlight),
      .init("spin", \.spin, "Workers spin before a scheduled instant."),
      .init("source_addresses", \.sourceAddresses),
      .init("seed", \.seed),
      .init("labels", \.labels),
    ]
  }
}

extension PlanSummary.Endpoint: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("name", \.name), .init("request_bytes", \.requestByteCount),
      .init("request_hash", \.requestHash, "FNV-1a, 64 bits, hexadecimal."),
    ]
  }
}

extension PlanSummary.UserStage: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [.init("duration_ns", \.durationNs), .init("users", \.users)]
  }
}

extension PlanSummary.Schedule: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("start_per_s", \.startPerS), .init("stages", \.stages),
      JSONField("arrival", \.arrival).oneOf("uniform", "poisson"), .init("seed", \.seed),
    ]
  }
}

extension PlanSummary.Stage: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [.init("duration_ns", \.durationNs), .init("end_per_s", \.endPerS)]
  }
}

extension RunResult.Worker: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("host", \.host),
      .init(optional: "pid", \.process, "Of the agent's process; absent when it did not say."),
      .init(optional: "cpu", \.cpu, "Absent when not pinned."),
      .init("incarnations", \.incarnations, "Its lives, 16 hexadecimal digits each."),
      .init("cpu_user_ns", \.cpuUserNs, "In the measured time."),
      .init("cpu_system_ns", \.cpuSystemNs, "In the measured time."),
      .init("busy_ratio", \.busyRatio, "CPU time per measured time."),
      .init("connections", \.connections),
      .init("sent", \.sent),
      .init("ok", \.ok),
      .init("not_ok", \.notOk),
      .init("in_flight_at_stop", \.inFlightAtStop),
      .init("enter_calls", \.systemCalls, "System calls of the worker in the measured time."),
      .init(
        "schedule_lag_p99_ns", \.scheduleLagP99Ns, "Null in a closed loop without think times."),
      .init(
        "sent_late", \.sentLate,
        "Requests of the measured time that left over 1 ms late though a connection was free."),
      .init("lost", \.lost, "Lost and not replaced."),
    ]
  }
}

extension RunResult.Requests: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("sent", \.sent, "Handed to the kernel."),
      .init("completed", \.completed, "ok + not_ok."),
      .init("ok", \.ok, "Complete responses with a status the plan accepts."),
      .init("not_ok", \.notOk, "Sent and ended in anything else."),
      .init(
        "in_flight_at_stop", \.inFlightAtStop,
        "Sent and neither answered nor failed when the drain ended: carried_in + sent - completed."),
      .init("dropped", \.dropped, "Scheduled and given up unsent."),
      .init(
        "due", \.due, "By the schedule in the measured time: sent + dropped. Null in a closed loop."
      ),
      .init(
        "unassigned", \.unassigned,
        "Of the dropped, those that fell due while no worker had them, or were a lost worker's."),
      .init("carried_in", \.carriedIn, "Sent in the warm-up and in flight at its end."),
      .init("warmup", \.warmup),
    ]
  }
}

extension RunResult.Warmup: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [.init("sent", \.sent), .init("ok", \.ok), .init("not_ok", \.notOk)]
  }
}

extension RunResult.Errors: JSONRecord {
  package static var fields: [JSONField<Self>] {
    ErrorCause.allCases.map { .init($0.name, \.[$0]) }
  }
}

extension RunResult.Causes: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("malformed", \.malformed, "Errors of cause parse by reason."),
      .init(
        "findings", \.findings,
        "Those that occurred. cut_short: ended in the middle of an answer; late_in_answer: timed out "
          + "there; reuse_closed: ended before any byte of an answer, after answers_before_close "
          + "answers; stray: bytes behind a complete answer; unasked: bytes before a request."),
      .init("samples", \.samples, "Bytes of the target; what is not printable ASCII as \\xNN."),
    ]
  }
}

extension RunResult.Malformed: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("reason", \.reason),
      .init("explanation", \.explanation),
      .init("our_limit", \.isOurLimit, "The answer may be right and is longer than squall takes."),
      .init("count", \.count),
    ]
  }
}

extension RunResult.Bytes: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("sent", \.sent), .init("received", \.received),
      .init("body", \.body, "Of response bodies, without chunk framing."),
    ]
  }
}

extension RunResult.Change: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("at_ns", \.atNs, "Since the run's start; one instant for all workers."),
      .init(optional: "per_s", \.perS, "The rate from then on."),
      .init(optional: "connections", \.connections), .init(optional: "users", \.users),
      .init(
        optional: "spawn_per_s", \.spawnPerS,
        "How fast users came or went; absent where it was at once."),
    ]
  }
}

extension RunResult.Rate: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("ok_per_s", \.okPerS, "Ok responses in the measured time per second of it."),
      .init("completed_per_s", \.completedPerS),
      .init(
        optional: "target_per_s", \.targetPerS, "Mean of the rate curve; absent in a closed loop."),
      .init(
        optional: "achieved_ratio", \.achievedRatio,
        "Requests sent per request scheduled in the measured time; absent in a closed loop."),
    ]
  }
}

extension RunResult.Latencies: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("response", \.response, "Scheduled instant to completion."),
      .init("service", \.service, "Send to completion."),
      .init("connect", \.connect, "Connection set-up, warm-up included."),
      .init("tls", \.tls, "TLS handshake, warm-up included; of no value without TLS."),
      .init("first_byte", \.firstByte, "Send to the first byte of the response."),
      .init(
        "schedule_lag", \.scheduleLag,
        "Scheduled instant to send; of a scenario's users, how late their think times ended."),
    ]
  }
}

extension LatencySummary: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("count", \.count, "Where it is 0, no value exists: the others are null."),
      .init("mean", \.mean), .init("stdev", \.stdev), .init("min", \.min),
      .init("max", \.max), .init("p50", \.p50), .init("p75", \.p75), .init("p90", \.p90),
      .init("p95", \.p95), .init("p99", \.p99), .init("p99.9", \.p999), .init("p99.99", \.p9999),
      .init("over", \.over, "Values above 68.7 s."),
    ]
  }
}

extension RunResult.Histograms: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("response", \.response, "HdrHistogram V2, compressed, base 64, nanoseconds."),
      .init("service", \.service, "HdrHistogram V2, compressed, base 64, nanoseconds."),
    ]
  }
}

extension RunResult.RequestsOfName: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("name", \.name), .init("sent", \.sent), .init("completed", \.completed),
      .init("ok", \.ok), .init("not_ok", \.notOk),
      .init("dropped", \.dropped, "Due and not sent, as where a value was empty."),
      .init("bytes_received", \.bytesReceived), .init("bytes_body", \.bytesBody),
      .init("errors", \.errors), .init("status", \.status),
      .init(
        "checks", \.checks,
        "Checks that failed, the most frequent first; all together the errors of cause check."),
      .init("latency_ns", \.latency, "Of ok responses."),
      .init("response_histogram", \.responseHistogram, "HdrHistogram V2, uncompressed, base 64."),
    ]
  }
}

extension RunResult.LatenciesOfName: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [.init("response", \.response), .init("service", \.service)]
  }
}

extension RunResult.FailedCheck: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [.init("check", \.check, "What it asks, in words."), .init("failed", \.failed)]
  }
}

extension RunResult.Iterations: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("started", \.started, "Begun in the measured time."),
      .init("completed", \.completed),
      .init("abandoned", \.abandoned, "Ended before their last step, as a request failed."),
      .init(
        optional: "dropped", \.dropped,
        "Due while no user was free; absent where one iteration follows the other."),
      .init(
        "interrupted", \.interrupted,
        "Begun and never ended: the load was over, or the user stopped, was dealt anew or lost."),
      .init("time_ns", \.time, "From the first step to the last, of those completed."),
    ]
  }
}

extension RunResult.Interval: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("index", \.index),
      .init("last_index", \.lastIndex, "Above index where intervals were put together."),
      JSONField("phase", \.phase).oneOf("warmup", "measured", "drain"),
      .init("start_ns", \.startNs, "Since the run's start."),
      .init("end_ns", \.endNs),
      .init("sent", \.sent),
      .init("ok", \.ok),
      .init("not_ok", \.notOk),
      .init("dropped", \.dropped),
      .init(
        optional: "last_ok_ns", \.lastOkNs,
        "When its last ok response came, since the run's start; absent without one."),
      .init(
        optional: "target_per_s", \.targetPerS,
        "Mean of the rate curve over it; absent in a closed loop and in the drain."),
      .init(
        optional: "target_connections", \.targetConnections,
        "Connections the load was to have; absent in an open loop, with users and in the drain."),
      .init(
        optional: "target_users", \.targetUsers,
        "Users that the last change asked for; absent before one."),
      .init("bytes_received", \.bytesReceived),
      .init("errors", \.errors, "Causes that occurred."),
      .init("workers", \.workers, "How many reported."),
      .init("response_p50", \.responseP50, "Null without an ok response."),
      .init("response_p90", \.responseP90),
      .init("response_p99", \.responseP99),
      .init("response_max", \.responseMax),
      .init("service_p50", \.serviceP50),
      .init("service_p99", \.serviceP99),
      .init("schedule_lag_p99", \.scheduleLagP99),
      .init(
        "worker_busy", \.workerBusy, "Busy ratio by worker; null where it did not report."),
      .init("worker_lag_p99", \.workerLagP99, "Schedule lag by worker; null where there is none."),
      .init("response_histogram", \.responseHistogram, "HdrHistogram V2, uncompressed, base 64."),
      .init(
        optional: "service_histogram", \.serviceHistogram,
        "As response_histogram; absent in a closed loop, where they are equal."),
    ]
  }
}

extension RunResult.Connections: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("opened", \.opened), .init("reopened", \.reopened, "Replaced an earlier connection."),
      .init(
        "ok_min", \.okMin, "Ok responses per connection; null where none was open at the stop."),
      .init("ok_median", \.okMedian), .init("ok_max", \.okMax),
      .init("starved", \.starved, "Connections without an ok response."),
    ]
  }
}

extension RunResult.Verdict: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("saturated", \.saturated, "The generator set the limit or bent the times."),
      .init("reasons", \.reasons, "Why the result is not valid, each with its remedy."),
      .init("cautions", \.cautions, "What to know when judging it."),
      .init("valid", \.valid, "Not saturated, and the rate asked for was reached."),
      .init(
        optional: "target_gone_ns", \.targetGoneNs,
        "From when on the target gave no ok answer; absent where it did to the end."),
      .init(optional: "ok_per_s_before_gone", \.okPerSBeforeGone),
      .init(
        optional: "littles_law_ratio", \.littlesLawRatio,
        "Service time x ok rate / (connections x pipeline or streams); absent in an open loop."),
      .init("conservation", \.conservation),
      .init("incomplete", \.incomplete, "Counts are missing, or a worker was lost for good."),
    ]
  }
}

extension RunResult.Conservation: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("worker_sum", \.workerSum, "Requests sent, all phases, by the workers' own ledgers."),
      .init("total", \.total, "Requests sent, all phases, by the master's batches."),
      .init("missing", \.missing, "worker_sum - total."),
      .init("ledgers_absent", \.ledgersAbsent),
      .init("ledgers_differing", \.ledgersDiffering),
      .init("balanced", \.balanced, "All ledgers are there and equal, nothing is negative."),
    ]
  }
}

extension RunResult.SloOutcome: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("expression", \.expression),
      .init(optional: "value", \.value, "Nanoseconds, a share of 1, or per second."),
      .init(optional: "pass", \.pass, "Absent when not evaluated, as after an interruption."),
    ]
  }
}
