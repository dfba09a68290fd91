import Foundation
import Testing

/// The repository's folder and what its scripts make of the program under test.
enum Repository {
  static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  static func has(_ programs: String...) -> Bool {
    programs.allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
  }

  static let validator = judge("kubernetes-validate")
  /// One that reads YAML.
  static let python = judge("python")

  /// A command of the judges that `scripts/setup` installs from PyPI.
  static func judge(_ command: String) -> String { path + "/.build-python/bin/" + command }

  /// What podman and its relatives confine a container with, as Debian has it.
  static let standardProfile = "/usr/share/containers/seccomp.json"

  static let canConfine =
    FileManager.default.fileExists(atPath: standardProfile)
    && (try? output("/usr/bin/python3", "-c", "import seccomp")) != nil

  /// Where Debian keeps the sources of Go's libraries.
  static let goPath = "/usr/share/gocode"

  static let canRenderCharts =
    has("/usr/bin/kubectl", "/usr/bin/go", validator)
    && FileManager.default.fileExists(atPath: goPath + "/src/github.com/Masterminds/sprig")

  /// What a program printed.
  static func output(
    _ executable: String, _ arguments: String..., environment: [String: String] = [:]
  ) throws -> String {
    try output(executable, arguments, environment: environment)
  }

  static func output(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:]
  ) throws -> String {
    let child = try Child(executable, arguments, environment: environment)
    try #require(try child.awaitEnd() == Child.Ending(code: 0), "\(arguments): \(child.errors)")
    return child.output
  }
}

extension EndToEnd {
  /// The Debian package, made of the program under test. `make check-package` also installs it.
  @Suite(
    .serialized,
    .enabled(
      if: Repository.has("/usr/bin/dpkg-deb", "/usr/bin/strip", "/usr/bin/python3"),
      "there is no dpkg-deb on this host"))
  struct PackageTests {
    private func package(in folder: Folder) throws -> String {
      let output = try Repository.output(
        Repository.path + "/scripts/deb", Squall.path, folder.path,
        environment: ["COMPRESSION": "none", "SOURCE_DATE_EPOCH": "1700000000"])
      return output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test func aPackageHasTheManualAndIsTheSameTwice() throws {
      let folders = try [Folder(), Folder()]
      defer { withExtendedLifetime(folders) {} }
      let packages = try folders.map { try package(in: $0) }
      let bytes = packages.map { FileManager.default.contents(atPath: $0) }
      #expect(bytes[0] != nil && bytes[0] == bytes[1])

      let root = folders[0].path + "/root"
      _ = try Repository.output("dpkg-deb", "-x", packages[0], root)
      #expect(try Repository.output(root + "/usr/bin/squall", "--version").hasPrefix("squall "))
      let control = try Repository.output("dpkg-deb", "-f", packages[0], "Depends")
      #expect(control.hasPrefix("libc6 (>= 2."), "\(control)")

      // Each option that help shows is in the manual, and so is each command.
      for command in [["run"], ["master"], ["worker"], ["fleet", "run"], ["serve"]] {
        let help = try Squall.ended(command + ["--help"]).output
        let options = Set(help.matches(of: /--[a-z][a-z0-9-]+/).map { String($0.output) })
        let page = try Repository.output(
          "zcat", "\(root)/usr/share/man/man1/squall-\(command.joined(separator: "-")).1.gz"
        ).replacing("\\-", with: "-")
        for option in options { #expect(page.contains(option), "\(command) \(option)") }
        #expect(!page.contains("until-input-ends"))
      }
      let completion = root + "/usr/share/bash-completion/completions/squall"
      _ = try Repository.output("bash", "-n", completion)
      #expect(
        try String(contentsOfFile: completion, encoding: .utf8).contains("--min-hosts"))
      for unit in ["squall-worker@.service", "squall-master.service"] {
        let text = try String(contentsOfFile: root + "/lib/systemd/system/" + unit, encoding: .utf8)
        #expect(text.contains("ExecStart=/usr/bin/squall "))
      }
    }
  }

  /// What `kubectl apply -k` would send.
  @Suite(
    .enabled(
      if: Repository.has("/usr/bin/kubectl", Repository.validator),
      "kubectl or kubernetes-validate is not installed"))
  struct ManifestTests {
    @Test(arguments: [
      "base", "overlays/job", "overlays/io-uring", "overlays/service", "overlays/scenario",
    ])
    func everyManifestIsValidAndGuaranteed(name: String) throws {
      let folder = try Folder()
      let text = try Repository.output(
        "kubectl", "kustomize", Repository.path + "/deploy/kubernetes/" + name)
      let file = try folder.file("all.yaml", text)
      _ = try Repository.output(Repository.validator, "--strict", file)
      let documents = text.components(separatedBy: "\n---\n")
      let stays = ["overlays/service", "overlays/scenario"].contains(name)
      let kind = stays ? "StatefulSet" : "Job"
      let jobs = documents.filter { $0.contains("\nkind: \(kind)\n") }
      #expect(jobs.count == (name == "base" ? 1 : 2))
      for job in jobs {
        let resources = job.split(separator: "\n").filter {
          $0.contains("cpu: ") || $0.contains("memory: ")
        }
        #expect(resources.count == 4 && Set(resources).count == 2, "\(resources)")
        #expect(job.contains("name: squall-token"))
        #expect(
          job.contains("type: Localhost")
            == (name == "overlays/io-uring" && job.contains("squall-worker")))
      }
      #expect(documents.contains { $0.contains("kind: NetworkPolicy") })
    }
  }

  /// The chart, rendered as helm does, against what kustomize makes of the same.
  @Suite(
    .serialized,
    .enabled(
      if: Repository.canRenderCharts,
      "kubectl, kubernetes-validate, go or golang-github-masterminds-sprig-dev is not installed"))
  struct ChartTests {
    private static let chart = Repository.path + "/deploy/helm/squall"
    private static let secret = #"token.existingSecret="squall-token""#
    private static let plain = [#"load.url="http://target.default.svc/""#, secret]
    /// That of the overlay, in a line of JSON.
    private static let scenario: String = {
      let path = Repository.path + "/deploy/kubernetes/overlays/scenario/scenario.yaml"
      let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
      let json = (try? JSONEncoder().encode(text)) ?? Data()
      return "load.scenario=" + String(decoding: json, as: UTF8.self)
    }()
    private let folder: Folder
    private let renderer: String

    init() throws {
      folder = try Folder()
      renderer = folder.path + "/render"
      _ = try Repository.output(
        "go", "build", "-o", renderer, Repository.path + "/Tests/Chart/render.go",
        environment: [
          "GO111MODULE": "off", "GOPATH": Repository.goPath, "GOFLAGS": "",
          "GOCACHE": folder.path + "/cache",
        ])
    }

    private typealias Document = [String: Any]

    private func rendered(
      _ settings: [String], release: String = "squall", revision: Int = 1
    ) throws -> [Document] {
      let text = try Repository.output(
        renderer,
        settings.flatMap { ["-set", $0] } + ["-revision", "\(revision)", Self.chart, release])
      return try documents(text)
    }

    private func documents(_ text: String) throws -> [Document] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [Document])
    }

    /// By kind and name, without the namespace and without the labels that only helm sets.
    private func compared(_ documents: [Document]) -> [String: NSObject] {
      let ours: Set = [
        "namespace", "helm.sh/chart", "app.kubernetes.io/name", "app.kubernetes.io/instance",
        "app.kubernetes.io/version", "app.kubernetes.io/managed-by",
      ]
      func bare(_ value: Any) -> Any? {
        switch value {
        case let value as Document:
          let rest = value.filter { !ours.contains($0.key) }
          return rest.isEmpty && !value.isEmpty ? nil : rest.compactMapValues(bare)
        case let value as [Any]: return value.compactMap(bare)
        default: return value
        }
      }
      var all: [String: NSObject] = [:]
      for document in documents where document["kind"] as? String != "Namespace" {
        all[name(document)] = bare(document) as? NSObject
      }
      return all
    }

    private func name(_ document: Document) -> String {
      let name = (document["metadata"] as? Document)?["name"] as? String ?? "?"
      return "\(document["kind"] as? String ?? "?")/\(name)"
    }

    private func expectValid(_ documents: [Document]) throws {
      let text = try documents.map {
        String(decoding: try JSONSerialization.data(withJSONObject: $0), as: UTF8.self)
      }.joined(separator: "\n---\n")
      let file = try folder.file("all.yaml", text)
      _ = try Repository.output(Repository.validator, "--strict", file)
    }

    private static let profile =
      #"workers.seccompProfile={"type": "Localhost", "localhostProfile": "profiles/squall.json"}"#

    @Test(arguments: [
      ("job", ChartTests.plain), ("io-uring", ChartTests.plain + [ChartTests.profile]),
      ("service", [ChartTests.secret, #"mode="service""#]),
      (
        "scenario",
        [ChartTests.secret, #"mode="service""#, ChartTests.scenario, "load.args=[]"]
      ),
    ])
    func theChartIsWhatTheOverlayIs(overlay: String, settings: [String]) throws {
      let text = try Repository.output(
        "kubectl", "kustomize", Repository.path + "/deploy/kubernetes/overlays/" + overlay)
      let reading = try Child(renderer, ["-documents"], input: text)
      try #require(try reading.awaitEnd() == Child.Ending(code: 0), "\(reading.errors)")
      let theirs = compared(try documents(reading.output))
      let documents = try rendered(settings)
      try expectValid(documents)
      let ours = compared(documents)
      #expect(Set(ours.keys) == Set(theirs.keys))
      for (name, document) in theirs {
        #expect(ours[name] == document, "\(name): \(String(describing: ours[name]))")
      }
    }

    @Test func whatPeopleAskForIsInTheChart() throws {
      let job = try rendered([
        #"load.scenario="squall: 1\ntarget: http://t\n""#, #"load.files={"a.csv": "x,y\n1,2"}"#,
        #"load.args=["-u", 500]"#, #"image.tag="2""#, "workers.count=3",
        #"workers.resources={"limits": {"cpu": "3500m", "memory": "2Gi"}}"#,
        #"workers.nodeSelector={"pool": "load"}"#, #"workers.podAnnotations={"a": "b"}"#,
        #"workers.tolerations=[{"key": "load", "operator": "Exists"}]"#,
        #"master.podLabels={"team": "web"}"#, "serviceAccount.create=true",
        #"networkPolicy.enabled=false"#,
      ])
      try expectValid(job)
      let text = String(
        decoding: try JSONSerialization.data(
          withJSONObject: job, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
      for part in [
        #""--file","/etc/squall/scenario.yaml","-u","500","--headless""#,
        #""--expect-workers","9""#, #""squall:2""#, #""pool":"load""#, #""team":"web""#,
        #""a.csv":"x,y\n1,2\n""#, #""scenario.yaml":"squall: 1\ntarget: http://t\n"#,
        #""serviceAccountName":"squall""#, #""configMap":{"name":"squall-scenario"}"#,
        #""key":"load""#, #""completions":3"#,
      ] { #expect(text.contains(part), "\(part) in \(text)") }
      #expect(!text.contains("NetworkPolicy"))
      // A token is made where none is named.
      let secret = try #require(job.first { $0["kind"] as? String == "Secret" })
      let token = try #require((secret["data"] as? Document)?["token"] as? String)
      #expect(try #require(Data(base64Encoded: token)).count == 43)

      let service = try rendered(
        [
          #"mode="service""#, #"persistence.existingClaim="old""#, "page.ingress.enabled=true",
          #"page.ingress.hosts=[{"host": "s.example"}]"#, #"token.value="secret""#,
        ], release: "load")
      try expectValid(service)
      let names = Set(service.map(name))
      #expect(names.contains("Ingress/load-squall-page"), "\(names)")
      #expect(
        compared(service)["Secret/load-squall-token"]?.description.contains("c2VjcmV0") == true)
    }

    /// A job cannot be changed, so each upgrade makes its own.
    @Test func anUpgradeRunsAgain() throws {
      let names = try rendered(Self.plain, revision: 2).map(name)
      #expect(names.contains("Job/squall-master-2") && names.contains("Job/squall-worker-2"))
      #expect(names.contains("Service/squall-master"))
    }

    @Test func whatCannotBeAChartIsRefused() throws {
      for (settings, sentence) in [
        ([], "load.url or load.scenario says what is loaded"),
        (Self.plain + [#"mode="both""#], "mode is both: it is job or service"),
        (
          [#"mode="service""#, "page.ingress.enabled=true"],
          "page.ingress.hosts is empty: name a host"
        ),
      ] {
        let child = try Child(
          renderer, settings.flatMap { ["-set", $0] } + [Self.chart, "squall"])
        #expect(try child.awaitEnd() == Child.Ending(code: 1))
        #expect(child.errors.contains(sentence), "\(child.errors)")
      }
    }

    /// Helm holds what is given against the schema.
    @Test func theSchemaTakesTheChartsOwnValues() throws {
      let program = """
        import json, sys, yaml, jsonschema
        schema = json.load(open(sys.argv[1] + "/values.schema.json"))
        values = yaml.safe_load(open(sys.argv[1] + "/values.yaml"))
        jsonschema.validate(values, schema)
        values["worker"] = {"count": 3}
        try:
            jsonschema.validate(values, schema)
        except jsonschema.ValidationError:
            print("refused")
        """
      #expect(try Repository.output(Repository.python, "-c", program, Self.chart) == "refused\n")
    }
  }

  /// Under the seccomp profile that podman and its relatives give to every container, and under ours.
  @Suite(
    .serialized,
    .enabled(
      if: Repository.canConfine,
      "python3-seccomp or golang-github-containers-common is not installed"))
  struct ContainerTests {
    private func started(
      _ profile: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> Child {
      try Child(
        Repository.path + "/Tests/confined", [profile, Squall.path] + arguments,
        environment: environment.merging(["SQUALL_BACKEND": "auto"]) { $1 })
    }

    private func confined(_ profile: String, _ arguments: [String]) throws -> Child {
      let child = try started(profile, arguments)
      try child.awaitEnd()
      return child
    }

    /// What deploy/compose.yaml starts: workers first, a master with a token, a target, one worker more; and
    /// one of them is told to leave in mid-run, as a container that is stopped or a pod that is evicted.
    @Test func containersInAnyOrderCountEachRequestAlsoOfOneThatIsEvicted() throws {
      let folder = try Folder()
      let port = try closedPort()
      let targetPort = try closedPort()
      func start(_ arguments: [String]) throws -> Child {
        try started(
          Repository.standardProfile, arguments,
          environment: [
            "SQUALL_TOKEN": "a secret of at least so many letters", "XDG_DATA_HOME": folder.path,
          ])
      }
      func worker() throws -> Child {
        try start(["worker", "--master-port", "\(port)", "--workers", "1"])
      }
      var workers = [try worker(), try worker()]
      defer { for worker in workers { worker.end() } }
      let master = try start(
        [
          "master", "http://127.0.0.1:\(targetPort)/", "--headless", "--no-record",
          "--master-bind-port", "\(port)", "--expect-workers", "3", "--format", "json", "-d", "3s",
        ] + Cluster.haste + Cluster.gentle)
      defer { master.end() }
      let target = try start(["serve", "--port", "\(targetPort)"])
      defer { target.end() }
      _ = try target.firstLine()
      func count() throws -> Int {
        let text = try fetch("/count", port: targetPort)
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        return try #require(object?["requests"] as? Int)
      }
      workers.append(try worker())
      try master.run(withinMs: 60_000) { try count() > 500 }
      workers[0].signal(SIGTERM)
      #expect(try workers[0].awaitEnd() == Child.Ending(code: 0), "\(workers[0].errors)")
      #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
      let result = try Measured(master.output)
      result.expectConservation()
      #expect(result["verdict.incomplete"] as? Bool == false)
      #expect(try count() == result.sent, "\(master.errors)")
      for worker in workers {
        #expect(try worker.awaitEnd() == Child.Ending(code: 0), "\(worker.errors)")
      }
    }

    @Test(arguments: [
      (Repository.standardProfile, "epoll"), (Repository.path + "/deploy/seccomp.json", "io_uring"),
    ])
    func aContainerMeasuresOverWhatItsProfileAllows(profile: String, backend: String) throws {
      let child = try confined(profile, ["run", "-n", "5000", "-w", "2", "--format", "json"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      #expect(result["backend"] as? String == backend, "\(child.errors)")
      #expect(result.ok == 5_000)
      result.expectConservation()
    }
  }
}
