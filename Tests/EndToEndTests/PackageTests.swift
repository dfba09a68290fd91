import Foundation
import Testing

/// The repository's folder and what its scripts make of the program under test.
enum Repository {
  static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  static func has(_ programs: String...) -> Bool {
    programs.allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
  }

  static let validator = path + "/.build-python/bin/kubernetes-validate"

  /// What podman and its relatives confine a container with, as Debian has it.
  static let standardProfile = "/usr/share/containers/seccomp.json"

  static let canConfine =
    FileManager.default.fileExists(atPath: standardProfile)
    && (try? output("/usr/bin/python3", "-c", "import seccomp")) != nil

  /// What a program printed.
  static func output(
    _ executable: String, _ arguments: String..., environment: [String: String] = [:]
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
    @Test(arguments: ["base", "overlays/job", "overlays/io-uring"])
    func everyManifestIsValidAndGuaranteed(name: String) throws {
      let folder = try Folder()
      let text = try Repository.output(
        "kubectl", "kustomize", Repository.path + "/deploy/kubernetes/" + name)
      let file = try folder.file("all.yaml", text)
      _ = try Repository.output(Repository.validator, "--strict", file)
      let documents = text.components(separatedBy: "\n---\n")
      let jobs = documents.filter { $0.contains("kind: Job") }
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

  /// Under the seccomp profile that podman and its relatives give to every container, and under ours.
  @Suite(
    .serialized,
    .enabled(
      if: Repository.canConfine,
      "python3-seccomp or golang-github-containers-common is not installed"))
  struct ContainerTests {
    private func confined(_ profile: String, _ arguments: [String]) throws -> Child {
      let child = try Child(
        Repository.path + "/Tests/confined", [profile, Squall.path] + arguments,
        environment: ["SQUALL_BACKEND": "auto"])
      try child.awaitEnd()
      return child
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
