module gotoml

go 1.21.0

require (
	github.com/pelletier/go-toml v1.9.5
	github.com/pelletier/go-toml/v2 v2.3.0
)
