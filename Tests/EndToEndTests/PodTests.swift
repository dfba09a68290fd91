import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// The very command lines of the manifests' containers, each pod a network namespace, and the names of
  /// services in their tables of hosts.
  @Suite(
    .serialized,
    .enabled(
      if: Network.canBeMade && Repository.has("/usr/bin/kubectl", Repository.python),
      "network namespaces are for root, and kubectl and .build-python are needed"))
  struct PodTests {
    private static let environment = [
      "SQUALL_TOKEN": "a secret of at least so many letters", "SQUALL_BACKEND": "auto",
    ]
    private let network: Network
    private let folder: Folder
    private let target: Child

    init() throws {
      network = try Network(["target", "first", "second", "one", "two", "three"])
      folder = try Folder()
      try network.name("target.default.svc", for: "target")
      try network.name("squall-master", for: "first")
      target = try network.start(
        on: "target", [Squall.path, "serve", "--host", "0.0.0.0", "--port", "80"])
      _ = try target.firstLine()
    }

    /// What each pod's container is told, by the name of what keeps it.
    private func commands(of overlay: String) throws -> [String: [String]] {
      let text = try Repository.output(
        "kubectl", "kustomize", Repository.path + "/deploy/kubernetes/overlays/" + overlay)
      let program = """
        import json, sys, yaml
        pods = [d for d in yaml.safe_load_all(open(sys.argv[1])) if d["kind"] in ("Job", "StatefulSet")]
        print(json.dumps({d["metadata"]["name"]:
          d["spec"]["template"]["spec"]["containers"][0]["args"] for d in pods}))
        """
      let file = try folder.file("all.yaml", text)
      let json = try Repository.output(Repository.python, "-c", program, file)
      return try #require(
        try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: [String]])
    }

    private func pod(
      _ host: String, _ arguments: [String], _ more: [String] = []
    ) throws -> Child {
      try network.start(
        on: host, [Squall.path] + arguments + more,
        environment: Self.environment.merging(["XDG_DATA_HOME": folder.path + "/" + host]) { $1 })
    }

    /// A load that is short and gentle, in the place of that of the manifest.
    private static func gently(_ arguments: [String], forS seconds: Int) -> [String] {
      var arguments = arguments
      for (flag, value) in [("-c", "8"), ("-d", "\(seconds)s")] {
        if let place = arguments.firstIndex(of: flag) { arguments[place + 1] = value }
      }
      return arguments + ["-R", "2000"] + Cluster.haste
    }

    private func finalCount() throws -> Int {
      target.signal(SIGTERM)
      try target.awaitEnd()
      let last = try #require(target.output.split(separator: "\n").last)
      let counts = try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any]
      return try #require(counts?["requests"] as? Int)
    }

    /// Three pods where two are asked for: the job's controller has started one for the evicted one.
    @Test func aJobCountsEachRequestAlsoOfAWorkerThatIsEvicted() throws {
      let commands = try commands(of: "job")
      let worker = try #require(commands["squall-worker"])
      // Workers come first, as they may.
      var workers = [try pod("one", worker), try pod("two", worker)]
      try workers[0].run { workers[0].errors.contains("no master listens there") }
      let told = Self.gently(try #require(commands["squall-master"]), forS: 4)
      // Two CPUs in each pod there; here as many as this host has.
      let count = 2 * ProcessInfo.processInfo.activeProcessorCount
      let master = try pod("first", told, ["--format", "json", "--expect-workers", "\(count)"])
      try master.run(withinMs: 60_000) { master.errors.contains("the load starts on") }
      workers[0].signal(SIGTERM)
      #expect(try workers[0].awaitEnd() == Child.Ending(code: 0), "\(workers[0].errors)")
      workers.append(try pod("three", worker))
      #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
      let result = try Measured(master.output)
      result.expectConservation()
      #expect(result["verdict.incomplete"] as? Bool == false, "\(master.errors)")
      #expect(try finalCount() == result.sent)
      for worker in workers {
        #expect(try worker.awaitEnd() == Child.Ending(code: 0), "\(worker.errors)")
      }
    }

    /// The job ends with the run's own code, of which its policy makes a failure.
    @Test func aJobWhoseObjectiveIsMissedEndsWithThatCode() throws {
      let commands = try commands(of: "job")
      let worker = try pod("one", try #require(commands["squall-worker"]))
      let told = Self.gently(try #require(commands["squall-master"]), forS: 1)
      let master = try pod(
        "first", told, ["--format", "json", "--expect-workers", "1", "--slo", "p50<1us"])
      #expect(try master.awaitEnd(withinMs: 60_000) == Child.Ending(code: 3), "\(master.errors)")
      #expect(try Measured(master.output).sent == finalCount())
      #expect(try worker.awaitEnd() == Child.Ending(code: 0), "\(worker.errors)")
    }

    /// The pod is gone without a word, and another comes up on another node, with another address, the same
    /// name and the same volume.
    @Test func aServicesMasterThatIsMovedGoesOnWithItsRun() throws {
      let commands = try commands(of: "service")
      let record = ["/var/lib/squall/record.db": folder.path + "/record.db"]
      let told = try #require(commands["squall-master"]).map { record[$0] ?? $0 }
      let load = ["http://target.default.svc/", "--autostart", "--expect-workers", "2"]
      let quick = Self.gently(load + ["-c", "8", "-d", "12s"], forS: 12)
      let workers = try ["one", "two"].map {
        try pod($0, try #require(commands["squall-worker"]), ["--workers", "1"])
      }
      let first = try pod("first", told, quick)
      try first.run(withinMs: 60_000) { first.errors.contains("the load starts on") }
      // Some intervals of it are in the record.
      try first.run { try self.batchCount() >= 4 }
      try network.cutPower(of: "first")
      first.end()
      try network.name("squall-master", for: "second")
      let second = try pod(
        "second", told, ["--format", "json", "--autoquit", "0s"] + Cluster.haste)
      #expect(try second.awaitEnd(withinMs: 60_000) == Child.Ending(code: 0), "\(second.errors)")
      let result = try Measured(second.output)
      result.expectConservation()
      #expect(result["verdict.incomplete"] as? Bool == false, "\(second.errors)")
      #expect(try finalCount() == result.sent, "\(second.errors)")
      for worker in workers {
        #expect(!worker.errors.contains("could not be delivered"), "\(worker.errors)")
        worker.signal(SIGTERM)
        #expect(try worker.awaitEnd() == Child.Ending(code: 0), "\(worker.errors)")
      }
    }

    private func batchCount() throws -> Int {
      let program = """
        import sqlite3, sys
        file = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
        print(file.execute("SELECT count(*) FROM batch").fetchone()[0])
        """
      let text = try Repository.output(
        "python3", "-c", program, folder.path + "/record.db")
      return try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    }
  }
}
